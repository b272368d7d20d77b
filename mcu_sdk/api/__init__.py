"""The whole way from Python, as the command line goes it: what `mcu_sdk` offers (docs/python_api.md).

Every function raises what its parts raise, all of it `mcu_sdk.errors.McuSdkError`.
"""

from mcu_sdk.api.building import build
from mcu_sdk.api.comparing import compare
from mcu_sdk.api.compiling import compile_checkpoint
from mcu_sdk.api.given import Arrays, Texts
from mcu_sdk.api.results import Answered, Built, Ran, Read, Verified
from mcu_sdk.api.running import chat, run, run_heard, run_inputs, run_prompts, run_request, run_texts
from mcu_sdk.api.verifying import verify, verify_chat, verify_prompts, verify_texts

__all__ = [
    "Answered",
    "Arrays",
    "Built",
    "Ran",
    "Read",
    "Texts",
    "Verified",
    "build",
    "chat",
    "compare",
    "compile_checkpoint",
    "run",
    "run_heard",
    "run_inputs",
    "run_prompts",
    "run_request",
    "run_texts",
    "verify",
    "verify_chat",
    "verify_prompts",
    "verify_texts",
]
