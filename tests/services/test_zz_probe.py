import pytest
from django.db import connection
from campaigns.models import Campaign
from tests import factories
from tests.factories import NOW
from campaigns.services import catalog
pytestmark=[pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]
@pytest.mark.parametrize("n",[2,20,100,400])
def test_x(n):
    brand=factories.brand()
    cs=[factories.campaign(brand) for _ in range(n)]
    catalog.update_campaign(campaign_id=cs[0].pk,name="moved",now=NOW)
    with connection.cursor() as c:
        for analyze in (False,True):
            if analyze: c.execute("ANALYZE campaigns_campaign")
            c.execute(f"EXPLAIN UPDATE campaigns_campaign SET paused_manually=true WHERE id IN ({','.join(str(x.pk) for x in cs)})")
            print(n, analyze, [r[0] for r in c.fetchall()][:3])
        c.execute("SELECT ctid,id FROM campaigns_campaign"); print(c.fetchall()[-3:])
