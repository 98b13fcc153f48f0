"""Django's settings. What differs between installations comes from `environment.py`."""

from datetime import timedelta
from typing import Any

import dj_database_url
import django_stubs_ext
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from budget_management import environment
from budget_management.admin_site import UNFOLD  # noqa: F401 - Unfold reads it

django_stubs_ext.monkeypatch()  # `models.Field[...]`, `ModelAdmin[...]` at run time

ENV = environment.read()
BASE_DIR = environment.REPOSITORY
DATA_DIR = ENV.data_dir

SECRET_KEY = ENV.signing_key()
SECRET_KEY_FALLBACKS = list(ENV.secret_key_fallbacks)
DEBUG = False
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = [*ENV.allowed_hosts, *([] if ENV.production else LOOPBACK)]
CSRF_TRUSTED_ORIGINS = list(ENV.csrf_trusted_origins)

ROOT_URLCONF = "budget_management.urls"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
WSGI_APPLICATION = "budget_management.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "unfold",  # before django.contrib.admin, whose templates it replaces
    "unfold.contrib.filters",  # the templates of its list filters
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",  # of it only what keeps second factors; none of its pages
    "allauth.account",
    "allauth.mfa",
    "axes",  # counts failed logins
    "csp",  # checks the policy below
    "ninja",  # serves the scripts of the API's documents from here
    "timezone_field",
    "campaigns",
]

MIDDLEWARE = [
    "budget_management.requests.RequestRecord",  # outermost: it tells how all of them have answered
    "django.middleware.security.SecurityMiddleware",
    "budget_management.headers.PageHeaders",
    "budget_management.bodies.refuse_large_bodies",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "campaigns.admin.entrance.end_incomplete_sessions",
    "django.contrib.messages.middleware.MessageMiddleware",
    "budget_management.logged_out.tell_scripts",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",  # allauth does not start without it
    "axes.middleware.AxesMiddleware",  # innermost: it makes the page of whoever is locked out
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# The first keeps out who is locked out, the second knows people and their second factors.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "campaigns.admin.entrance.People"]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Database ------------------------------------------------------------------------------------

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",  # readers and the one writer don't block each other
    "PRAGMA synchronous=FULL",  # what was answered survives a power cut
    # A row that INSERT OR REPLACE takes away fires DELETE triggers only with this: without it the append-only
    # tables could be rewritten.
    "PRAGMA recursive_triggers=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-8192",  # 8 MiB for each thread of each process
)


def database(url: str) -> dict[str, Any]:
    """Return the `DATABASES` entry for a `sqlite:` or `postgresql:` URL."""
    config: dict[str, Any] = {**dj_database_url.parse(url)}
    options: dict[str, Any] = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        # IMMEDIATE: a transaction takes the write lock when it begins, so it waits its turn instead
        # of failing half way when another writer was first.
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "; ".join(SQLITE_PRAGMAS),
        }
        config["CONN_MAX_AGE"] = None
        config["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # a file: threads share it
    else:
        options |= {
            "server_side_binding": True,
            "prepare_threshold": 5,  # the hot statements are planned once per connection, not once per event
            # The wait for a connection ends before a probe gives up (5 s), so that /healthz can say what is wrong.
            # A connection that could not be made is tried again soon: the database may have been away for long.
            "pool": {"min_size": 1, "max_size": ENV.database_pool_size, "timeout": 4, "reconnect_timeout": 4},
        }
        config["CONN_MAX_AGE"] = 0  # the pool keeps connections open, Django must give them back
        config["CONN_HEALTH_CHECKS"] = True  # survives a restart of the database
    return config


DATABASES = {"default": database(ENV.database_url or f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}

# --- Broker and cache ----------------------------------------------------------------------------

REDIS_URL = ENV.redis_url or "redis://127.0.0.1:6379/0"
CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": ENV.redis_url}
        if ENV.redis_url
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# --- The product ---------------------------------------------------------------------------------

ENFORCE_INTERVAL_SECONDS = ENV.enforce_interval_seconds
ROLLOVER_INTERVAL_SECONDS = ENV.rollover_interval_seconds
LEDGER_CHECK_INTERVAL_SECONDS = ENV.ledger_check_interval_seconds
PACING_INTERVAL_SECONDS = ENV.pacing_interval_seconds
SPEND_MAX_AGE_DAYS = ENV.spend_max_age_days
LEDGER_KEEP_MONTHS = ENV.ledger_keep_months
SPEND_MAX_AHEAD_SECONDS = ENV.spend_max_ahead_seconds
ALERTS_INTERVAL_SECONDS = ENV.alerts_interval_seconds
ALERTS_KEPT_DAYS = ENV.alerts_kept_days
WEBHOOKS_ALLOW_PRIVATE: bool = ENV.webhooks_allow_private
TASKS_ARE_NUDGED = ENV.redis_url is not None  # without a broker of its own nobody would take what is hurried
METRICS_REDIS_URL = ENV.redis_url  # where the counts of all processes come together; None: each keeps its own
METRICS_TOKEN = ENV.metrics_token.get_secret_value() if ENV.metrics_token else ""

# --- E-mail --------------------------------------------------------------------------------------

EMAIL_HOST = ENV.email_host
EMAIL_PORT = ENV.email_port
EMAIL_HOST_USER = ENV.email_user
EMAIL_HOST_PASSWORD = ENV.email_password.get_secret_value() if ENV.email_password else ""
EMAIL_USE_TLS = ENV.email_security == "starttls"
EMAIL_USE_SSL = ENV.email_security == "tls"
EMAIL_TIMEOUT = 10  # seconds to connect, and again for each answer
DEFAULT_FROM_EMAIL = SERVER_EMAIL = ENV.email_from

# --- Time and language ---------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
TIME_ZONE = ENV.time_zone  # of people's screens; budgets follow each brand's own zone

# --- Static files --------------------------------------------------------------------------------

DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 2**20  # a body of the API; no other is near

STATIC_URL = "static/"
# Production serves what `collectstatic` gathered, compressed and named by content; embedded mode
# reads the files where they lie, so that a fresh clone needs no build step.
STATIC_ROOT = ENV.static_root if ENV.production else None
WHITENOISE_USE_FINDERS = not ENV.production
WHITENOISE_AUTOREFRESH = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "whitenoise.storage.CompressedManifestStaticFilesStorage"
            if ENV.production
            else "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
    },
}

# --- Security ------------------------------------------------------------------------------------

_https = ENV.production and ENV.https_only
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
# A browser takes a cookie of such a name from this very host only, over https only, for the whole site only.
SESSION_COOKIE_NAME = "__Host-sessionid" if _https else "sessionid"
CSRF_COOKIE_NAME = "__Host-csrftoken" if _https else "csrftoken"
SESSION_COOKIE_AGE = ENV.session_hours * 3600
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True  # the forms carry the token themselves
SECURE_SSL_REDIRECT = _https
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # probes come from inside, over http
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ENV.behind_proxy else None
X_FRAME_OPTIONS = "DENY"
# What a page of ours may load and run (docs/operations.md says what follows from it).
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, UNSAFE_EVAL],  # Alpine compiles the expressions in Unfold's attributes
        "style-src": [SELF, UNSAFE_INLINE],  # Unfold's colours are a style element, Alpine's bindings attributes
        "img-src": [SELF, "data:"],  # Unfold's style sheets hold some icons as data
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}
SESSION_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "campaigns.views.csrf_failed"

# --- Logging in ----------------------------------------------------------------------------------

BEHIND_PROXY = ENV.behind_proxy
REQUIRE_SECOND_FACTOR = ENV.second_factor_required
MFA_ADAPTER = "campaigns.gateways.authenticators.SealedSecrets"
MFA_TOTP_ISSUER = "Budget Management"  # what an authenticator app calls us
AXES_HANDLER = "campaigns.services.attempts.Attempts"
AXES_FAILURE_LIMIT = 5  # by name and address together; of an address alone see services/attempts.py
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]  # in this order
AXES_COOLOFF_TIME = timedelta(minutes=ENV.login_lock_minutes)
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # who goes on trying makes it no longer for anybody
AXES_CLIENT_IP_CALLABLE = "campaigns.admin.entrance.client_address"
AXES_USERNAME_CALLABLE = "campaigns.admin.entrance.counted_name"
AXES_LOCKOUT_CALLABLE = "campaigns.admin.entrance.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # a table that nothing empties
AXES_ENABLE_ADMIN = False  # the page of a person tells it, and `manage.py unlock` ends it
AXES_VERBOSE = False  # the log names who and from where, and nothing else that was sent
AXES_SENSITIVE_PARAMETERS: list[str] = []

# --- Logging -------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "budget_management.logs.JsonLines"},
        "console": {
            "()": "budget_management.logs.Lines",
            "format": "{asctime} {levelname:<7} {name}: {message}",
            "datefmt": "%H:%M:%S",
            "style": "{",
        },
    },
    "filters": {"absence_in_one_line": {"()": "budget_management.logs.AbsenceInOneLine"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": ENV.log_lines,
            "filters": ["absence_in_one_line"],
        },
    },
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "campaigns": {"level": ENV.log_level},
        "budget_management": {"level": ENV.log_level},
        "celery": {"level": "INFO"},
    },
}
