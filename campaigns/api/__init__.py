"""The REST API, under /api/v1: the doors for ad servers, bidders and import jobs."""

from ninja.openapi.docs import Swagger

from campaigns.api import brands, campaigns, holds, problems, reports, spend, standing, status
from campaigns.api.documents import DESCRIPTION
from campaigns.api.site import Api

__all__ = ["api"]

api = Api(
    title="Budget management",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    docs=Swagger(settings={"persistAuthorization": False, "defaultModelsExpandDepth": 0}),
)
problems.handle(api)
api.add_router("", spend.router)
api.add_router("", holds.router)
api.add_router("", status.router)
api.add_router("", brands.router)
api.add_router("", campaigns.router)
api.add_router("", standing.router)
api.add_router("", reports.router)
