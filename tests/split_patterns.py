"""Regular expressions of the Split pre-tokenizers of published tokenizers, by one that has it."""

from __future__ import annotations

_SPACES = r"\s+(?!\S)|\s+"
_CASELESS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_HAN = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"

PATTERNS: dict[str, str] = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|" + _SPACES,
    "gpt2_short": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|" + _SPACES,
    "llama3": _CASELESS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    + _SPACES,
    "qwen2": _CASELESS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + _SPACES,
    "qwen3_5": _CASELESS
    + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    + _SPACES,
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"
    + r"\s+(?!\S)|\s",
    "phi4": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
    + _SPACES,
    "o200k": rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CASELESS}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CASELESS}?"
    + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|"
    + _SPACES,
    "tekken": _TEKKEN + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|" + _SPACES,
    "kimi": r"[\p{Han}]+"
    + rf"|[^\r\n\p{{L}}\p{{N}}]?{_HAN[0]}*{_HAN[1]}+{_CASELESS}?|[^\r\n\p{{L}}\p{{N}}]?{_HAN[0]}+{_HAN[1]}*{_CASELESS}?"
    + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    + _SPACES,
    "deepseek_coder_letters": r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+",
    "deepseek_coder_marks": r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    "deepseek_coder_han": r"[一-龥ࠀ-一가-퟿]+",
    "deepseek_numbers": r"\p{N}{1,3}",
    "deepseek_han": "[一-龥぀-ゟ゠-ヿ]+",
    "deepseek_v3": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    + r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|"
    + _SPACES,
    "jina": _CASELESS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    + "|".join(rf"\s{{{count}}}(?!\S)" for count in (512, 256, 128, 64, 32, 16, 8, 4))
    + r"|\s{1,2}(?!\S)|\s{1}",
    "exaone_moe": _CASELESS
    + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|"
    + _SPACES,
    "seed_coder": _CASELESS
    + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|"
    + _SPACES,
    "youtu_scripts": "[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
    "deepseek_ends": r"\s+$",
    "deepseek_punctuation": r"\s?\p{P}+",
    "chameleon_spaces": r"([\t\n]|    |  )",
    "chameleon_sentinels": "<sentinel:[0-9]+>",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "superbpe": r"(?=(\d{3})+(?!\d))",
    "tiny_aya": r"\d{1,3}(?=(?:\d{3})*\b)",
    "falcon": "[0-9][0-9][0-9]",
    "line_ends": r"[\r\n]",
    "chameleon": r"(IMGIMG)(((A|B|C|D|E|F|G|H|I){1,4})Z)",
    "lines": r"\n+|[^\n]+",
    "numbers_of_digits": r"\d|[^\d]+",
    "one_of_words": r"\w+|[^\w\s]+",
}
"""Those of GPT-2, Llama 3, Qwen, OpenAI, Mistral, Moonshot, DeepSeek, BigScience and others; not all match every character."""
