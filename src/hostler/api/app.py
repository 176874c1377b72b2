"""The application: every route behind the gate, every error a problem document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

import hostler
from hostler.api import (
    access_routes,
    board_routes,
    calendar_routes,
    chunk_routes,
    claim_routes,
    console_routes,
    equipment_routes,
    event_routes,
    health_routes,
    hook_routes,
    image_routes,
    image_store_routes,
    lab_routes,
    login_routes,
    network_routes,
    problems,
    ssh_routes,
    upload_routes,
    verdict_routes,
    wipe_routes,
    wire_routes,
)
from hostler.api.board_news import BoardNews
from hostler.api.gate import LOGIN_PATHS, OPEN_PATHS, PREFIX, Gate
from hostler.api.metrics import CONTENT_TYPE, Metrics
from hostler.api.own_hosts import OwnHosts
from hostler.api.pages import Pages
from hostler.hub.live_fronts import LiveFronts

if TYPE_CHECKING:
    from typing import Any

    from fastapi.routing import APIRoute

    from hostler.hub.hub import Hub


class HealthDocument(BaseModel):
    """That the server lives, and which one it is."""

    ok: bool
    version: str


health = APIRouter()


@health.get("/healthz")
async def healthz() -> HealthDocument:
    """Tell that the server lives; the only route that needs no token."""
    return HealthDocument(ok=True, version=hostler.__version__)


@health.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE: {}}}})
async def metrics(request: Request) -> Response:
    """Return what the lab does, in numbers, for Prometheus; to anybody with a token, or as it was started."""
    counted: Metrics = request.app.state.metrics
    return Response(counted.text(), media_type=CONTENT_TYPE)


def create_app(hub: Hub, *, metrics_open: bool = False, own_hosts: OwnHosts | None = None) -> FastAPI:
    """Return the application for a hub, whose ``run`` is somebody else's to keep running.

    Args:
        hub: What it serves.
        metrics_open: Whether ``/metrics`` needs no token.
        own_hosts: What the server is called; by default only what every server may be.
    """
    app = routed_app()
    app.state.hub = hub
    app.state.metrics = Metrics(hub)
    app.state.own_hosts = own_hosts or OwnHosts()
    app.state.event_texts = event_routes.EventTexts()
    app.state.board_news = BoardNews(hub)
    app.state.fronts = LiveFronts(hub)
    app.add_middleware(Gate, hub=hub, open_paths=OPEN_PATHS | {"/metrics"} if metrics_open else OPEN_PATHS)
    app.add_middleware(Pages)  # outside of the gate: there is nothing secret in them
    return app


def routed_app() -> FastAPI:
    """Return the application with every route and no hub behind them: it can only describe itself."""
    app = _App(
        title="Hostler",
        version=hostler.__version__,
        description=hostler.__doc__ or "",
        openapi_url=None,  # served behind the gate
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        responses=problems.OPENAPI_RESPONSES,
    )
    problems.install(app)
    app.include_router(health)
    for module in (
        claim_routes, calendar_routes, board_routes, image_store_routes, image_routes, lab_routes,
        console_routes, ssh_routes, health_routes, hook_routes, wire_routes, access_routes, login_routes,
        event_routes, network_routes, verdict_routes, wipe_routes, equipment_routes, upload_routes,
        chunk_routes,
    ):  # fmt: skip
        app.include_router(module.router, prefix=PREFIX)
    return app


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the description with what FastAPI cannot know: problems and the token."""
        if self.openapi_schema is None:
            schema = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            schemas = schema["components"]["schemas"]
            problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= problem.pop("$defs")
            schemas["Problem"] = problem
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"token": []}]
            for path, operations in schema["paths"].items():
                if path in OPEN_PATHS or path.startswith(LOGIN_PATHS):
                    for operation in operations.values():
                        operation["security"] = []
            _only_problems(schema)
            self.openapi_schema = schema
        return self.openapi_schema


def _only_problems(schema: dict[str, Any]) -> None:
    """Take out FastAPI's own idea of a validation error: here it is a problem like any other."""
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)


def _operation_id(route: APIRoute) -> str:
    return route.name
