"""The quiet run: the right answers, asked one after the other before anything else happens."""

from asking import ask, classify_path, code_of, detect_path
from expected import THRESHOLD_QUIET, TOP_K_QUIET, boxes_of, labels_of
from subject import CHANGING, COMING, DETECTOR, LARGE, STEADY, VARIANTS
from world import World


async def learn(world: World) -> None:
    """Fills in the truth. Pictures of a variant that isn't decoded are left out: they are bad ones."""
    for name, file in list(world.pictures.items()):
        if await is_refused(world, file):
            world.refused[name] = world.pictures.pop(name)
            continue
        for model in (STEADY, LARGE, COMING, *VARIANTS):
            answer = await ask(world, classify_path(model, TOP_K_QUIET), file)
            world.truth.labels[model, name] = [labels_of(answer)]
        world.truth.labels[CHANGING, name] = [answers for one in VARIANTS for answers in world.truth.labels[one, name]]
        answer = await ask(world, detect_path(DETECTOR, THRESHOLD_QUIET), file)
        world.truth.boxes[name] = boxes_of(answer)


async def is_refused(world: World, file: bytes) -> bool:
    async with world.session.post(world.url + classify_path(STEADY), data=file) as response:
        return code_of(await response.text()) == "unsupported_image"
