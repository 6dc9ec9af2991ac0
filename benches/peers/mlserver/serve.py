"""MLServer: uvicorn in one process, workers behind queues.

By a handler of its own, as a picture in JSON of the Open Inference Protocol is larger.
"""

import asyncio
from typing import Annotated, Any

from fastapi import Body
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.handlers import custom_handler

from settings import settings

SETTINGS = settings()


class Classify(MLModel):
    """JPEG in, JSON out, one by one: MLServer batches what comes by `predict` alone."""

    async def load(self) -> bool:
        """In each worker."""
        # only workers need it, and what it takes of memory
        from classifier import Classifier

        self.classifier = Classifier(SETTINGS.model)
        return True

    @custom_handler(rest_path="/classify")
    async def classify(self, file: Annotated[bytes, Body(media_type="image/jpeg")]) -> Any:
        """In a worker."""
        return self.classifier.classify([file])[0]


async def serve() -> None:
    """Serves until it is told to end."""
    server = MLServer(
        Settings(
            debug=False,
            host="127.0.0.1",
            http_port=SETTINGS.port,
            grpc_port=0,
            metrics_endpoint=None,
            gzip_enabled=False,
            parallel_workers=SETTINGS.workers if SETTINGS.workers > 1 else 0,
        )
    )
    await server.start([ModelSettings(name="classify", implementation=Classify)])


if __name__ == "__main__":
    asyncio.run(serve())
