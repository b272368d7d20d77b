"""Chat templates become token ids between texts: those of apply_chat_template, or the template is refused by name."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from mcu_sdk.errors import ModelError, UsageError
from mcu_sdk.model.chat.compile import compile_chat, encode_plain
from mcu_sdk.model.chat.files import CHAT_CONFIG, ChatFiles, read_chat
from mcu_sdk.model.chat.rendering import Message, Template, Unsuitable, read_template
from mcu_sdk.model.chat.turns import Chat, Gap, check_roles, written
from mcu_sdk.model.tokenizer import load_tokenizer
from tests.model.chat.templates import CHATML, SPECIALS, TEMPLATES, chat_tokenizer

NAMED = {"bos_token": "<s>", "eos_token": "</s>"}
TEXTS = ["how far is the lamp?", "  two spaces", "a line\n\n", "caf\u00e9 \u6f22", "x", "Be a lamp.", "\ttab"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(chat_tokenizer(tmp_path_factory.mktemp("chat") / "tokenizer.json"))


def conversations(count: int) -> list[list[dict[str, str]]]:
    """Of one to four turns, every other with a system text; answers are as a tokenizer would write them."""
    draw, found = random.Random(7), []
    for number in range(count):
        roles = ["system"] * (number % 2) + (["user", "assistant"] * (1 + number // 2 % 4))[:-1]
        texts = [draw.choice(TEXTS[:1] + TEXTS[4:6] if role == "assistant" else TEXTS) for role in roles]
        found.append([{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)])
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "chatml" else pytest.mark.slow) for name in TEMPLATES]
)
def test_the_ids_are_those_of_apply_chat_template(name: str, tokenizer: Any) -> None:
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=TEMPLATES[name], **NAMED)
    chat = compile_chat(Template(TEMPLATES[name], NAMED, name), tokenizer)
    assert (chat.before_system is None) == (name == "no system")
    for messages in conversations(16):
        if messages[0]["role"] == "system" and chat.before_system is None:
            continue
        ids = chat.conversation(
            lambda text: encode_plain(tokenizer, text), [Message(**message) for message in messages]
        )
        wanted = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert ids == list(wanted)


def test_special_tokens_in_a_text_are_text(tokenizer: Any) -> None:
    special = {tokenizer.token_to_id(token) for token in SPECIALS}
    ids = encode_plain(tokenizer, "a<|im_end|><s>b")
    assert not special & set(ids) and tokenizer.decode(ids) == "a<|im_end|><s>b"
    assert special & set(tokenizer.encode("a<|im_end|><s>b").ids)


@pytest.mark.slow
def test_a_system_text_of_the_user_begins_every_conversation(tokenizer: Any) -> None:
    template = Template(CHATML, NAMED, "x")
    own, plain = compile_chat(template, tokenizer, system="Be a <s> lamp."), compile_chat(template, tokenizer)

    def encode(text: str) -> list[int]:
        return encode_plain(tokenizer, text)

    assert own.turn(encode, "hi") == plain.turn(encode, "hi", system="Be a <s> lamp.")
    assert own.turn(encode, "hi", system="no") == plain.turn(encode, "hi", system="no")


LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}{% endfor %}"
REFUSED = {
    "loop": (LOOPS, "does not come to an end within 1 seconds"),
    "sandbox": ("{{ messages.append(1) }}" + CHATML, "does what the sandbox forbids: .*append"),
    "sandbox, attributes": ("{{ ''.__class__.__mro__ }}" + CHATML, "does what the sandbox forbids: .*__class__"),
    "memory": ("{% set x = ['a' * 100000] * 100000 %}{{ x | join | length }}" + CHATML, "MemoryError|come to an end"),
    "raises": ("{{ raise_exception('tools only') }}", "raises: tools only"),
    "syntax": ("{% for %}", "raises: .*TemplateSyntaxError"),
    "date": ("{{ strftime_now('%d %b %Y') }}" + CHATML, "writes the date"),
    "turns": (CHATML.replace("{% for", "{{ messages | length }}{% for"), "turns in another way"),
    "left out": (CHATML.replace("+ message['content']", ""), "leaves out a text of the role 'user'"),
    "twice": (CHATML.replace("message['content'] +", "message['content'] + message['content'] +"), "repeats a text"),
    "tokens": (TEMPLATES["plain"].replace(">", ": "), "tokens depend on what stands around"),
    "no system text": (TEMPLATES["no system"], "takes no system text"),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "sandbox" else pytest.mark.slow) for name in REFUSED]
)
def test_another_template_is_refused_by_name(name: str, tokenizer: Any) -> None:
    source, words = REFUSED[name]
    system = "Be a lamp." if name == "no system text" else None
    with pytest.raises(Unsuitable, match=words):
        compile_chat(Template(source, NAMED, name), tokenizer, system=system, seconds=1)


@pytest.mark.slow
def test_a_system_text_somewhere_else_is_no_system_text(tokenizer: Any) -> None:
    """At the last of the user's texts, as some templates have it: the others become a chat without."""
    source = (
        "{% set ns = namespace(s='') %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.s = m.content %}"
        "{% else %}<|{{ m.role }}|>{{ ns.s if loop.last else '' }}{{ m.content }}{% endif %}{% endfor %}<|assistant|>"
    )
    assert compile_chat(Template(source, {}, "x"), tokenizer).before_system is None


def roles(*names: str) -> list[Message]:
    return [Message(name, "text") for name in names]


def test_roles_out_of_order_are_refused() -> None:
    check_roles(roles("system", "user", "assistant", "user"))
    for wrong, words in (
        (("user", "user"), "Message 2 .*'assistant'; it is 'user'"),
        (("assistant",), "Message 1 .*'user'; it is 'assistant'"),
        (("user", "system", "user"), "Message 2"),
        (("user", "assistant"), "ends with a message of the role 'user'"),
        (("system",), "ends with a message"),
        ((), "ends with a message"),
        (("user", "assistant", "tool"), "Message 3"),
    ):
        with pytest.raises(UsageError, match=words):
            check_roles(roles(*wrong))
    chat = Chat(Gap(), None, None, Gap(), Gap())
    with pytest.raises(UsageError, match="begins a conversation"):
        chat.turn(lambda text: [], "text", first=False, system="x")
    with pytest.raises(UsageError, match="takes no system text"):
        chat.turn(lambda text: [], "text", system="x")


def test_texts_without_ids_between_them_are_one() -> None:
    asked: list[str] = []

    def encode(text: str) -> list[int]:
        asked.append(text)
        return [len(text)]

    parts = [Gap(tail="a"), "b", Gap(head="c", tail="d"), "e", Gap("f", (7, 8), "g"), "", Gap(ids=(9,))]
    assert written(parts, encode) == [6, 7, 8, 1, 9] and asked == ["abcdef", "g"]


def test_where_a_template_is_found(tmp_path: Path) -> None:
    assert (
        read_template(tmp_path) is None and read_chat([tmp_path], tmp_path / "tokenizer.json", None) is None
    )
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"bos_token": {"content": "<s>"}, "chat_template": "inline"}))
    assert read_template(tmp_path) == Template("inline", {"bos_token": "<s>"}, "tokenizer_config.json")
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "</s>", "bos_token": "<b>"}))
    named = [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]
    config.write_text(json.dumps({"chat_template": named}))
    assert read_template(tmp_path) == Template("b", {"eos_token": "</s>", "bos_token": "<b>"}, config.name)
    (tmp_path / "chat_template.jinja").write_text("file")
    found = read_template(tmp_path)
    assert found is not None and found.source == "file"
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match=r"chat_template\.jinja cannot be read"):
        read_template(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    config.write_text(json.dumps({"chat_template": 7}))
    with pytest.raises(ModelError, match="should be a text"):
        read_template(tmp_path)


@pytest.mark.slow
def test_what_a_project_keeps_makes_the_same_chat(tmp_path: Path) -> None:
    path = chat_tokenizer(tmp_path / "tokenizer.json")
    (tmp_path / "chat_template.jinja").write_text(TEMPLATES["zephyr"])
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(NAMED))
    first = read_chat([tmp_path], path, "Be a lamp.")
    assert isinstance(first, ChatFiles)
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / CHAT_CONFIG).write_bytes(first.config)
    again = read_chat([kept], path, "Be a lamp.")
    assert isinstance(again, ChatFiles) and again.chat == first.chat
