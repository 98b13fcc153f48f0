"""Who the demo's brands are: invented names, real time zones and currencies, schedules of every form."""

from __future__ import annotations

import dataclasses

WEEKDAYS = 0b0011111
FRIDAY_SATURDAY = 0b0110000
EVERY_DAY = 0b1111111

_OFFICE_DAY = "0" * 8 + "1" * 4 + "0" + "1" * 5 + "0" * 6  # 8 to 18, closed over lunch
_SATURDAY = "0" * 10 + "1" * 4 + "0" * 10
OFFICE_GRID = _OFFICE_DAY * 5 + _SATURDAY + "0" * 24
PRIME_TIME_GRID = ("0" * 18 + "1" * 5 + "0") * 5 + ("11" + "0" * 10 + "1" * 12) * 2

# Percent of a day's spend in each local hour: low at night, a bump at noon, the peak in the evening.
HOURLY_PERCENT = (2, 1, 1, 1, 1, 2, 3, 4, 4, 4, 5, 5, 6, 5, 5, 5, 5, 5, 6, 7, 8, 7, 5, 3)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """One campaign. share: percent of its brand's spend. Its own budgets in currency units.

    flight: first and last day, as days from today. window: start hour, end hour, weekdays.
    """

    name: str
    share: int
    daily: str | None = None
    monthly: str | None = None
    total: str | None = None
    flight: tuple[int | None, int | None] = (None, None)
    pacing: str = "asap"
    window: tuple[int, int, int] | None = None
    grid: str | None = None
    pause_note: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrandPlan:
    """One brand. typical: what its campaigns would spend on a day, in whole currency units.

    day_percent, month_percent: how much of a budget is spent when the demo begins, whatever the hour, so that there
    is something to see. lively: it spends its budget within minutes and is credited for invalid traffic now and then.
    """

    name: str
    zone: str
    currency: str
    typical: int
    campaigns: tuple[CampaignPlan, ...]
    daily: str | None = None
    monthly: str | None = None
    scope: str = "brand"
    pacing: str = "asap"
    day_percent: int | None = None
    month_percent: int | None = None
    lively: bool = False

    @property
    def external_id(self) -> str:
        """What tells it from a real brand of the same name."""
        return "demo-" + self.name.lower().replace(" & ", "-").replace(" ", "-")


BRANDS = (
    BrandPlan(
        name="Alpenblick Outdoor",
        zone="Europe/Berlin",
        currency="EUR",
        typical=1_150,
        daily="1200",
        monthly="32000",
        day_percent=97,
        lively=True,
        campaigns=(
            CampaignPlan(name="Brand search", share=35),
            CampaignPlan(name="Hiking boots video", share=30),
            CampaignPlan(name="Winter jackets retargeting", share=25),
            CampaignPlan(name="Night owls", share=10, window=(22, 4, EVERY_DAY)),
        ),
    ),
    BrandPlan(
        name="Coral Bay Resorts",
        zone="Australia/Lord_Howe",
        currency="AUD",
        typical=800,
        daily="950",
        monthly="24000",
        campaigns=(
            CampaignPlan(name="Early bird bookings", share=40, window=(6, 10, EVERY_DAY)),
            CampaignPlan(name="Family packages", share=35, daily="320", pacing="even"),
            CampaignPlan(name="Last minute", share=25, window=(17, 23, WEEKDAYS)),
        ),
    ),
    BrandPlan(
        name="Desert Bloom Beauty",
        zone="Asia/Dubai",
        currency="AED",
        typical=4_200,
        daily="4500",
        pacing="even",
        campaigns=(
            CampaignPlan(name="Skin care launch", share=50, flight=(-9, 12)),
            CampaignPlan(name="Perfume week", share=30, flight=(4, 11)),
            CampaignPlan(name="Loyalty offers", share=20),
        ),
    ),
    BrandPlan(
        name="Fjord & Co",
        zone="Europe/Oslo",
        currency="NOK",
        typical=9_000,
        monthly="240000",
        month_percent=101,
        campaigns=(
            CampaignPlan(name="Salmon season", share=45),
            CampaignPlan(name="Cabin rentals", share=35, window=(7, 23, EVERY_DAY)),
            CampaignPlan(name="Wool knitwear", share=20),
        ),
    ),
    BrandPlan(
        name="Himal Trek",
        zone="Asia/Kathmandu",
        currency="NPR",
        typical=85_000,
        daily="90000",
        monthly="2500000",
        campaigns=(
            CampaignPlan(name="Base camp treks", share=60),
            CampaignPlan(name="Monsoon offers", share=15, flight=(-40, -6)),
            CampaignPlan(name="Gear rental", share=25, grid=OFFICE_GRID),
        ),
    ),
    BrandPlan(
        name="Isla Verde Foods",
        zone="America/Mexico_City",
        currency="MXN",
        typical=19_000,
        daily="16000",
        campaigns=(
            CampaignPlan(name="Lunch hour", share=35, window=(11, 14, WEEKDAYS)),
            CampaignPlan(name="Hot sauce launch", share=45, total="260000"),
            CampaignPlan(name="Recipes", share=20, pause_note="Creative is being reworked, back next week"),
        ),
    ),
    BrandPlan(
        name="Kaikoura Coffee",
        zone="Pacific/Auckland",
        currency="NZD",
        typical=420,
        daily="450",
        monthly="11500",
        campaigns=(
            CampaignPlan(name="Morning roast", share=50, window=(5, 11, EVERY_DAY)),
            CampaignPlan(name="Subscriptions", share=30),
            CampaignPlan(name="Office deliveries", share=20, grid=OFFICE_GRID),
        ),
    ),
    BrandPlan(
        name="Maple Street Books",
        zone="America/Toronto",
        currency="CAD",
        typical=310,
        daily="300",
        monthly="8000",
        day_percent=101,
        campaigns=(
            CampaignPlan(name="New fiction", share=40),
            CampaignPlan(name="Children's books", share=35),
            CampaignPlan(name="Audiobooks", share=25, daily="80"),
        ),
    ),
    BrandPlan(
        name="Mare Alta Surf",
        zone="America/Sao_Paulo",
        currency="BRL",
        typical=3_600,
        daily="4000",
        monthly="105000",
        campaigns=(
            CampaignPlan(name="Boards and fins", share=50),
            CampaignPlan(name="Weekend lessons", share=30, window=(20, 2, FRIDAY_SATURDAY)),
            CampaignPlan(name="Prime time video", share=20, grid=PRIME_TIME_GRID),
        ),
    ),
    BrandPlan(
        name="Northwind Bikes",
        zone="America/Chicago",
        currency="USD",
        typical=2_900,
        daily="1000",
        monthly="28000",
        scope="campaign",
        lively=True,
        campaigns=(
            CampaignPlan(name="City bikes", share=36),
            CampaignPlan(name="Gravel series", share=34),
            CampaignPlan(name="Kids", share=18, daily="500"),
            CampaignPlan(name="Spare parts", share=12, monthly="9000"),
        ),
    ),
    BrandPlan(
        name="Sakura Home",
        zone="Asia/Tokyo",
        currency="JPY",
        typical=260_000,
        daily="300000",
        monthly="7500000",
        day_percent=96,
        lively=True,
        campaigns=(
            CampaignPlan(name="Kitchenware", share=40),
            CampaignPlan(name="Bedding", share=35),
            CampaignPlan(name="Tea sets", share=25),
        ),
    ),
    BrandPlan(
        name="Savanna Mobile",
        zone="Africa/Nairobi",
        currency="KES",
        typical=140_000,
        daily="150000",
        monthly="4200000",
        campaigns=(
            CampaignPlan(name="Data bundles", share=55),
            CampaignPlan(name="Handset offers", share=30),
            CampaignPlan(name="Evening top-up", share=15, window=(18, 0, EVERY_DAY)),
        ),
    ),
)
