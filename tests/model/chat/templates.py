"""Chat templates of the ways in which checkpoints write them, and a tokenizer with the special tokens that they use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.checkpoints import byte_tokenizer

SPECIALS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>", "<|system|>")

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are kind.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""With a default system text, as SmolLM2's."""

ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)

NO_SYSTEM = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SYSTEM_IN_FIRST_TURN = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content + '\n----\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{% for message in messages %}{% if message.role == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') }}"
    "{{ message.content + ' [/INST]' }}{% else %}{{ message.content + eos_token }}{% endif %}{% endfor %}"
)
"""System text and user's text are one piece of text."""

PLAIN = (
    "{% for message in messages %}{{ message.role + '>' + message.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant>{% endif %}"
)
"""Without any special token."""

TEMPLATES = {
    "chatml": CHATML,
    "zephyr": ZEPHYR,
    "no system": NO_SYSTEM,
    "system in first turn": SYSTEM_IN_FIRST_TURN,
    "plain": PLAIN,
}


def chat_tokenizer(path: Path, vocabulary: int = 320, specials: Sequence[str] = SPECIALS) -> Path:
    """A byte-level tokenizer.json of so many ids, the last of which are `specials`."""
    from tokenizers import Tokenizer

    text = "You are kind. system user assistant how far is the lamp? [INST] to be or not to be"
    byte_tokenizer(path, vocabulary - len(specials), text)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_special_tokens(list(specials))
    tokenizer.save(str(path))
    return path
