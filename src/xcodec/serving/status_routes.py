"""What the server is and how it does: models, health and metrics."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from xcodec import __version__
from xcodec.serving.faults import Fault
from xcodec.serving.service import Service

__all__ = ["router"]


def router(service: Service) -> APIRouter:
    """Make the routes."""
    routes, codec = APIRouter(tags=["status"]), service.codec

    def models() -> dict[str, dict[str, Any]]:
        shared = {"object": "model", "created": 0, "owned_by": "xcodec"}
        told = {
            "id": codec.name,
            **shared,
            "sampling_rate": codec.sampling_rate,
            "output_sampling_rate": codec.output_sampling_rate,
            "frame_rate": codec.frame_rate,
            "codebook_sizes": codec.codebook_sizes,
            "bandwidths": codec.bandwidths,
            "quantization_levels": codec.model.quantization_levels,
            "precision": codec.precision.value,
            "identity": vars(codec.identity),
        }
        speaker = service.speaker
        return {codec.name: told} | ({} if speaker is None else {speaker.name: {"id": speaker.name, **shared}})

    @routes.get("/v1/models")
    def list_models() -> dict[str, Any]:
        """List the models that are served."""
        return {"object": "list", "data": list(models().values())}

    @routes.get("/v1/models/{name:path}")
    def one_model(name: str) -> dict[str, Any]:
        """Tell of one model."""
        if name not in models():
            raise Fault(404, f"there is no model {name!r} here; there are {', '.join(models())}", "model_not_found")
        return models()[name]

    @routes.get("/health")
    def health() -> Response:
        """Tell whether new requests are taken."""
        alive = service.scheduler.is_alive
        status = "draining" if service.is_draining else "ok" if alive else "broken"
        told = {"status": status, "version": __version__, "open_streams": service.scheduler.num_open}
        return JSONResponse(told, 200 if status == "ok" else 503)

    @routes.get("/metrics")
    def metrics() -> Response:
        """Give all figures, as Prometheus reads them."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return routes
