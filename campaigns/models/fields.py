"""Fields whose Python value is not their database value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from django import forms
from django.core import exceptions
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from campaigns.rules import money, reasons
from campaigns.rules.reasons import Reason


def validate_budget(value: Decimal) -> None:
    """Refuse a budget that is negative or beyond all reason."""
    try:
        money.parse_budget(value)
    except money.MoneyError as error:
        raise exceptions.ValidationError(str(error), code="amount") from error


def validate_currency(value: str) -> None:
    """Refuse what is not a currency code of ISO 4217."""
    if not money.is_currency(value):
        raise exceptions.ValidationError(
            f"{value} is not a currency code of ISO 4217; give one such as EUR or USD.", code="invalid"
        )


# How a field tells the type checker what it takes and gives, so that `null=True` adds None to both.
_Set_contra = TypeVar("_Set_contra", contravariant=True)
_Get_co = TypeVar("_Get_co", covariant=True)


class MoneyField(models.Field[_Set_contra, _Get_co]):
    """An exact amount: Decimal in Python, integer micros in a bigint column.

    Sums and comparisons in the database are therefore integer arithmetic on every database; SQLite, which has no
    decimal type, would send a DecimalField's sums through floats.
    """

    description = "An exact amount of money"

    _pyi_private_set_type: Decimal | int | str
    _pyi_private_get_type: Decimal

    def get_internal_type(self) -> str:
        return "BigIntegerField"

    def from_db_value(self, value: int | Decimal | None, *_: object) -> Decimal | None:
        return None if value is None else money.from_micros(int(value))

    def to_python(self, value: Any) -> Decimal | None:
        """Return the value as an exact Decimal; raises ValidationError with a sentence for people."""
        if value is None:
            return None
        try:
            return money.from_micros(money.to_micros(value))
        except money.MoneyError as error:
            raise exceptions.ValidationError(str(error), code="amount") from error

    def get_prep_value(self, value: Any) -> int | None:
        if value is None or hasattr(value, "resolve_expression"):
            return value  # type: ignore[no-any-return]  # an expression, which Django compiles itself
        return money.to_micros(value)

    def formfield(self, **kwargs: Any) -> forms.Field | None:
        return super().formfield(
            **{"form_class": forms.DecimalField, "max_digits": 19, "decimal_places": money.DECIMALS, **kwargs}
        )

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else money.to_text(money.to_micros(value))


class ReasonsField(models.Field[Reason | int, Reason]):
    """A set of pause reasons: a `Reason` flag in Python, its bits in a smallint column."""

    description = "A set of pause reasons"

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        """A migration writes the default as a number: the empty set has no name."""
        name, path, args, kwargs = super().deconstruct()
        if "default" in kwargs:
            kwargs["default"] = int(kwargs["default"])
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        return "SmallIntegerField"

    def from_db_value(self, value: int | None, *_: object) -> Reason | None:
        return None if value is None else Reason(value)

    def to_python(self, value: Any) -> Reason | None:
        """Return the value as a `Reason`; raises ValidationError for bits that are no reason."""
        if value is None or isinstance(value, Reason):
            return value
        try:
            return Reason(int(value) & reasons.ALL)
        except (TypeError, ValueError) as error:
            raise exceptions.ValidationError("Not a set of pause reasons.", code="invalid") from error

    def get_prep_value(self, value: Any) -> int | None:
        if value is None or hasattr(value, "resolve_expression"):
            return value  # type: ignore[no-any-return]  # an expression, which Django compiles itself
        return int(value)

    def value_to_string(self, obj: models.Model) -> str:
        return str(int(self.value_from_object(obj)))


def adapt_moment(connection: BaseDatabaseWrapper, moment: datetime) -> Any:
    """Return an aware datetime as this database stores it, for statements that the ORM does not build."""
    return connection.ops.adapt_datetimefield_value(moment)
