"""Good requests over HTTP: each way to send pictures, and tensors."""

import base64
import gzip
import json

import aiohttp
import numpy as np

from asking import DETECT, ask, check_classified, check_detected, classify_path, code_of
from golden import CLASSIFIER, INPUT, SCORES
from subject import DETECTOR
from tally import WrongAnswerError
from world import World

LENGTH = "Inference-Header-Content-Length"


async def classify(world: World) -> str:
    model, (name, file) = world.classifier(), world.picture()
    check_classified(world, model, name, await ask(world, classify_path(model), file, model))
    return "ok"


async def on_a_connection_of_its_own(world: World) -> str:
    model, (name, file) = world.classifier(), world.picture()
    async with aiohttp.ClientSession() as session:
        answer = await ask(world, classify_path(model), file, model, session, X_Request_Priority="high")
    check_classified(world, model, name, answer)
    return "ok"


async def form(world: World) -> str:
    """Several pictures, one of them broken: it fails alone."""
    model, pictures = world.classifier(), world.some_pictures(6)
    data = aiohttp.FormData()
    for name, file in [*pictures, ("broken", b"no picture")]:
        data.add_field("image", file, filename=name)
    *answers, broken = (await ask(world, classify_path(model), data, model))["results"]
    if broken["error"]["code"] != "unsupported_image":
        raise WrongAnswerError(f"{broken} for what is no picture")
    for (name, _), answer in zip(pictures, answers, strict=True):
        if answer.get("error", {}).get("code") == "overloaded":
            raise WrongAnswerError("a request was let in only in part")
        check_classified(world, model, name, answer)
    return "ok"


async def base64_in_json(world: World) -> str:
    model, pictures = world.classifier(), world.some_pictures(4)
    body = json.dumps({"images": [base64.b64encode(file).decode() for _, file in pictures]})
    answers = await ask(world, classify_path(model), body, model, Content_Type="application/json")
    for (name, _), answer in zip(pictures, answers["results"], strict=True):
        check_classified(world, model, name, answer)
    return "ok"


async def detect(world: World) -> str:
    name, file = world.picture()
    check_detected(world, name, await ask(world, DETECT, file))
    return "ok"


async def draw(world: World) -> str:
    """The picture with its boxes."""
    _, file = world.picture()
    async with world.session.post(world.url + DETECT, data=file, headers={"Accept": "image/png"}) as response:
        drawn = await response.read()
        if response.status != 200:
            raise WrongAnswerError(f"status {response.status}", code_of(drawn))
        if not drawn.startswith(b"\x89PNG") or b"IEND" not in drawn[-12:]:
            raise WrongAnswerError(f"{len(drawn)} bytes that are no whole PNG")
    return "ok"


async def huge(world: World) -> str:
    """A picture that takes long to decode."""
    answer = await ask(world, f"/detect?model={DETECTOR}", world.huge)
    if answer["image"] != {"width": 4000, "height": 3000}:
        raise WrongAnswerError(f"a picture of {answer['image']}")
    return "ok"


async def tensor(world: World) -> str:
    """A tensor behind its JSON, and the scores behind theirs."""
    data = CLASSIFIER.tensor.tobytes()
    described = {"name": INPUT, "shape": list(CLASSIFIER.tensor.shape), "datatype": "FP32"}
    described["parameters"] = {"binary_data_size": len(data)}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    body, headers = head + data, {LENGTH: str(len(head))}
    if world.random.random() < 0.3:
        body, headers = gzip.compress(body, 1), headers | {"Content-Encoding": "gzip"}
    async with world.session.post(f"{world.url}/v2/models/float/infer", data=body, headers=headers) as response:
        answer = await response.read()
        if response.status != 200:
            raise WrongAnswerError(f"status {response.status}: {answer[:300]}", code_of(answer))
        check_scores(np.frombuffer(answer[int(response.headers[LENGTH]) :], np.float32))
    return "ok"


def check_scores(scores: np.ndarray) -> None:
    """Those of the golden pair."""
    due = CLASSIFIER.outputs[SCORES].flatten()
    if scores.shape != due.shape or np.abs(scores - due).max() > 1e-4 * np.abs(due).max():
        raise WrongAnswerError(f"{scores} instead of {due}")


async def look_around(world: World) -> str:
    """What people and probes ask beside."""
    path = world.random.choice(["/healthz", "/readyz", "/metrics", "/v1/models", "/openapi.json", "/", "/v2"])
    async with world.session.get(world.url + path) as response:
        text = await response.text()
        if response.status != 200 or not (text or path.endswith("z")):
            raise WrongAnswerError(f"{path}: status {response.status}")
    return "ok"


TRAFFIC = {
    classify: 24,
    on_a_connection_of_its_own: 3,
    form: 4,
    base64_in_json: 4,
    detect: 4,
    draw: 1,
    huge: 0.1,
    tensor: 6,
    look_around: 2,
}
