"""What the environment says: every variable the product reads, with its type, default and meaning.

This is the only module that looks at environment variables. Names have no prefix, as operators
expect of a Django project. `settings.py` reads it once per process.
"""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

REPOSITORY = Path(__file__).resolve().parent.parent

OLDEST_SQLITE = (3, 35)
"""The first SQLite with RETURNING, which recording spend is made of."""

A_DAY = 24 * 60 * 60

REQUIRED_IN_PRODUCTION = ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL")


class Environment(BaseSettings):
    """The environment variables, checked.

    Raises `pydantic.ValidationError` when one is missing or malformed; `read` turns that into one
    line for people.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    environment: Literal["embedded", "production"] = Field(
        default="embedded",
        description="`embedded` brings its own database and broker; `production` insists on yours.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="Signs sessions. Required in production; embedded mode makes one in DATA_DIR.",
    )
    secret_key_fallbacks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), repr=False, description="Former values of SECRET_KEY that are still good for reading, by commas."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Host names the site answers to, separated by commas."
    )
    csrf_trusted_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins, with scheme, that may post forms, separated by commas."
    )
    https_only: bool = Field(
        default=True,
        description="Production only: secure cookies, HSTS and a redirect from http to https.",
    )
    behind_proxy: bool = Field(
        default=False,
        description="Trust X-Forwarded-Proto and the last address in X-Forwarded-For; the proxy in front sets both.",
    )
    require_second_factor: bool | None = Field(
        default=None,
        description="Whether people need a second factor to log in; unset: `true` in production, else `false`.",
    )
    login_lock_minutes: PositiveInt = Field(
        default=15, le=24 * 60, description="For how long too many failed logins lock a name or an address out."
    )
    session_hours: PositiveInt = Field(default=12, le=30 * 24, description="For how long one login is good, in hours.")
    database_url: str | None = Field(
        default=None,
        description="postgresql://user:password@host/name; unset: SQLite in DATA_DIR.",
    )
    database_pool_size: PositiveInt = Field(
        default=16, le=1_000, description="Most PostgreSQL connections that one process opens."
    )
    redis_url: str | None = Field(default=None, description="redis://[:password@]host:port/db of a Redis or Valkey.")
    data_dir: Path = Field(
        default=REPOSITORY / "var",
        description="Where the embedded mode keeps its database, logs and secrets.",
    )
    static_root: Path = Field(
        default=REPOSITORY / "staticfiles",
        description="Production only: where `collectstatic` gathers files and the web serves them.",
    )
    time_zone: str = Field(default="UTC", description="Default time zone of a new brand, and of dates in the admin.")
    enforce_interval_seconds: PositiveInt = Field(
        default=60, le=A_DAY, description="How often all campaigns are judged, in seconds."
    )
    rollover_interval_seconds: PositiveInt = Field(
        default=60, le=A_DAY, description="How often brands are looked through for a new day or month."
    )
    ledger_check_interval_seconds: PositiveInt = Field(
        default=3_600, le=A_DAY, description="How often every counter is compared with the ledger, in seconds."
    )
    pacing_interval_seconds: int = Field(
        default=60, ge=30, le=300, description="How often evenly paced campaigns get a new probability, in seconds."
    )
    spend_max_age_days: PositiveInt = Field(
        default=62, le=3_660, description="Spend that occurred longer ago than this is rejected."
    )
    ledger_keep_months: PositiveInt = Field(
        default=13,
        le=1_200,
        description="How many whole months stay in the ledger when `archive_ledger` is not told otherwise.",
    )
    spend_max_ahead_seconds: PositiveInt = Field(
        default=300, le=A_DAY, description="Spend dated further into the future than this is rejected."
    )
    alerts_interval_seconds: PositiveInt = Field(
        default=15, le=3_600, description="How often it is looked for what alerts tell, in seconds."
    )
    alerts_kept_days: int = Field(
        default=90, ge=32, le=3_660, description="How long alerts and their deliveries are kept."
    )
    webhooks_allow_private: bool = Field(
        default=False,
        description="Let channels lead to private and local addresses, and webhooks go over http, too.",
    )
    email_host: str = Field(default="", description="The mail server for alerts; unset: no e-mail.")
    email_port: PositiveInt = Field(default=587, le=65_535, description="Its port.")
    email_user: str = Field(default="", description="What to log in there as; unset: without.")
    email_password: SecretStr | None = Field(default=None, description="The password for it.")
    email_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="How the connection to the mail server is kept private."
    )
    email_from: str = Field(default="budget@localhost", description="The sender of mails.")
    metrics_token: SecretStr | None = Field(
        default=None,
        description="What /metrics is asked with as a bearer token; unset: only from private addresses, past no proxy.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least severe message that is printed."
    )

    log_format: Literal["json", "console"] | None = Field(
        default=None, description="How log lines are written; unset: `json` in production, else `console`."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Read a variable of nothing but spaces as one that is not set."""
        return {name: value for name, value in values.items() if not (isinstance(value, str) and not value.strip())}

    @field_validator("allowed_hosts", "csrf_trusted_origins", "secret_key_fallbacks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part for part in (part.strip() for part in value.split(",")) if part)
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = _parts(value, "postgresql", "postgres", "sqlite")
        name = url.path.removeprefix("/")
        if url.scheme == "sqlite":
            if url.netloc or not name:  # nothing but memory, or a folder taken for a host
                raise ValueError("must name a file, such as sqlite:////var/lib/budget/db.sqlite3")
        elif not (url.hostname or "host" in parse_qs(url.query)):
            raise ValueError("has no host: postgresql://user:password@host/name, or ?host= with the folder of a socket")
        elif not name:
            raise ValueError("has no name of a database: postgresql://user:password@host/name")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_broker(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = _parts(value, "redis", "rediss")
        if not url.hostname:
            raise ValueError("has no host: redis://[:password@]host:port/db")
        number = url.path.removeprefix("/")
        if number and not (number.isascii() and number.isdigit() and len(number) <= 5):
            raise ValueError("must end with the number of a database: redis://[:password@]host:port/0")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown, malformed, a folder
            raise ValueError(f"{value!r} is not an IANA time zone") from None
        return value

    @field_validator("data_dir", "static_root")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.environment == "production":
            missing = [name for name in REQUIRED_IN_PRODUCTION if not getattr(self, name.lower())]
            if missing:
                raise ValueError(f"production needs {', '.join(missing)}: not set")
        return self

    @model_validator(mode="after")
    def _late_spend_finds_its_month(self) -> Self:
        fewest = -(-(self.spend_max_age_days + 31) // 28)  # months of 28 days at least, and one to spare
        # Whoever raises SPEND_MAX_AGE_DAYS for an import need not set this as well: the command looks again.
        if "ledger_keep_months" in self.model_fields_set and self.ledger_keep_months < fewest:
            raise ValueError(
                f"LEDGER_KEEP_MONTHS must be at least {fewest}: "
                "longer than SPEND_MAX_AGE_DAYS by a month, so that late spend finds its month in the ledger"
            )
        return self

    @property
    def production(self) -> bool:
        """Whether this is the mode that insists on its own database, broker and secrets."""
        return self.environment == "production"

    @property
    def second_factor_required(self) -> bool:
        """Whether people need a second factor to log in."""
        return self.production if self.require_second_factor is None else self.require_second_factor

    @property
    def log_lines(self) -> str:
        """How log lines are written: json or console."""
        return self.log_format or ("json" if self.production else "console")

    def signing_key(self) -> str:
        """Return SECRET_KEY, or the one that embedded mode made for itself on its first start."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        return kept_secret(self.data_dir / "secret_key", secrets.token_urlsafe(50))


def _parts(text: str, *schemes: str) -> SplitResult:
    """Return the parts of a URL with one of the schemes, its port known to be a number.

    No message repeats any of it, not even the port: a password that is not encoded may be what was taken for one.
    """
    if text.partition(":")[0] not in schemes:
        raise ValueError(f"must begin with one of {', '.join(f'{name}:' for name in schemes)}")
    try:
        url = urlsplit(text)
        _ = url.port  # checked when it is read
    except ValueError:
        raise ValueError(
            "host or port can't be read; write /, ?, #, @ and : of a password as %2F, %3F, %23, %40 and %3A"
        ) from None
    return url


def kept_secret(path: Path, candidate: str) -> str:
    """Return the secret in `path`; where there is none, `candidate` becomes it, for its owner only.

    Several processes may start at once: all of them get the same secret, because the complete
    file is linked into place and the first one wins.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent)  # 0600 from the start
        try:
            with os.fdopen(handle, "w") as file:
                file.write(candidate + "\n")
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return path.read_text().strip()


def read() -> Environment:
    """Read the environment; end the process with one line when it is incomplete or malformed.

    `SystemExit` and not an exception: Django, Celery and granian each wrap an exception from the
    settings in a traceback of their own, in which the name of the variable drowns.
    """
    try:
        environment = Environment()
    except ValidationError as error:
        raise SystemExit(f"budget_management can't start: {_sentence(error)}") from None
    _insist_on_sqlite(environment)
    try:
        environment.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if not environment.production:  # there only beat needs it, and says so
            problem = f"DATA_DIR {environment.data_dir}: {error.strerror}"
            raise SystemExit(f"budget_management can't start: {problem}") from None
    return environment


def _insist_on_sqlite(environment: Environment) -> None:
    """End the process when the database is SQLite and this Python's is too old: the first spend would fail."""
    if environment.database_url is not None and not environment.database_url.startswith("sqlite:"):
        return
    import sqlite3  # a Python without it is good enough for PostgreSQL

    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        problem = f"SQLite {sqlite3.sqlite_version} is too old: {needed} or newer is needed, or a DATABASE_URL"
        raise SystemExit(f"budget_management can't start: {problem} of a PostgreSQL")


def _sentence(error: ValidationError) -> str:
    parts = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in problem["loc"][:1]).upper()
        message = problem["msg"].removeprefix("Value error, ")
        parts.append(f"{name}: {message}" if name else message)
    return "; ".join(parts)
