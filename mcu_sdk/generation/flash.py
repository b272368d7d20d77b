"""Where everything lies, also within a budget of flash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mcu_sdk.errors import DoesNotFitError
from mcu_sdk.options import GenerateRequest
from mcu_sdk.planning.fit import Sizes, image_bytes
from mcu_sdk.planning.plan import Plan
from mcu_sdk.project.fitting import Choices, Fitted, fit_project
from mcu_sdk.project.project_inputs import ProjectInputs
from mcu_sdk.saving import TooLargeError


def fit_into(
    request: GenerateRequest,
    inputs: ProjectInputs,
    plan: Plan,
    choices: Choices,
    facts: dict[str, Any],
    app: Path,
) -> Fitted:
    """Where everything lies, also within --flash. Raises DoesNotFitError; of weights that are chosen to fit,
    TooLargeError."""
    weights = facts.get("weight_bits")
    if request.compile_options.weights != "auto" or weights is None:
        return fit_project(inputs, plan, choices, app=app, keep=request.use_cache)
    choices = replace(choices, advised=weights["everything"])
    try:
        fitted = fit_project(inputs, plan, choices, app=app, keep=request.use_cache)
        sizes = fitted.sizes if fitted.layout.regions else Sizes(code=0, bss=0, weights=plan.model_bytes)
        image = image_bytes(inputs.board, sizes, fitted.layout)
        few = "the fewest levels" if "levels" in weights else "int4"
        _check_flash(request.flash, image, sizes, few if weights["everything"] else None)
    except DoesNotFitError as error:
        raise TooLargeError(error, weights) from error
    facts["weight_bits"] = {**weights, "flash": request.flash, "image_bytes": image}
    return fitted


def _check_flash(flash: int | None, image: int, sizes: Sizes, smallest: str | None) -> None:
    """Raises DoesNotFitError for an image that is larger than what was given. `smallest`: the weights that make none smaller;
    None for an image that can be."""
    if flash is None or image <= flash:
        return
    parts = {"weights": sizes.weights, "code": sizes.code, "tokenizer": sizes.tokenizer}
    told = ", ".join(f"{name} {size:,}" for name, size in parts.items() if size)
    which = f"the smallest possible, with {smallest} wherever it can be," if smallest else "this one"
    raise DoesNotFitError(
        f"An image of at most {flash:,} bytes was expected (--flash); {which} has {image:,} bytes ({told}).",
        hint=f"Give --flash {image} at least, or take a smaller model.",
        over=image - flash,
    )
