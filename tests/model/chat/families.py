"""Chat templates of the constructs in which families of checkpoints write theirs; the sentences are our own."""

from __future__ import annotations

HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<|end|>")  # fmt: skip
"""Special tokens, besides those of tests/model/chat/templates.py."""

_GEMMA_TURNS = (
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('Turns alternate') }}{%- endif -%}"
    "{%- if (message['role'] == 'assistant') -%}{%- set role = 'model' -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}"
)

GEMMA2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system texts') }}{% endif %}"
    "{% for message in messages %}" + _GEMMA_TURNS + "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)  # fmt: skip

GEMMA3 = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set prefix = messages[0]['content'] + '\n\n' -%}"
    "{%- set turns = messages[1:] -%}{%- else -%}{%- set prefix = '' -%}{%- set turns = messages -%}{%- endif -%}"
    "{%- for message in turns -%}" + _GEMMA_TURNS + "{{ '<start_of_turn>' + role + '\n' + (prefix if loop.first else '') }}"
    "{%- if message['content'] is string -%}{{ message['content'] | trim }}{%- endif -%}{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)  # fmt: skip

LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + "
    "message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

LLAMA3_DATE = (
    "{{- bos_token }}{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "1 Jan 2024" %}{%- endif %}{%- endif %}'
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}"
    "{%- set messages = messages[1:] %}{%- else %}{%- set system_message = '' %}{%- endif %}"
    '{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}{{- "Read until: May 2023\n" }}{{- "It is: " + date_string + "\n\n" }}'
    '{{- system_message }}{{- "<|eot_id|>" }}{%- for message in messages %}'
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)

QWEN25 = (
    "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- else %}"
    "{{- '<|im_start|>system\nYou are a lamp. You help.<|im_end|>\n' }}{%- endif %}{%- for message in messages %}"
    "{%- if (message.role == 'user') or (message.role == 'system' and not loop.first) or (message.role == 'assistant' and "
    "not message.tool_calls) %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- endif %}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)

QWEN3 = (
    "{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}"
    "{%- set ns = namespace(searching=true, last=messages|length - 1) %}{%- for message in messages[::-1] %}"
    "{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.searching and message.role == 'user' and message.content is "
    "string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}"
    "{%- set ns.searching = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}{%- for message in messages %}"
    "{%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}"
    "{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}"
    "{{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}{%- elif message.role == 'assistant' %}"
    "{%- set thoughts = '' %}{%- if '</think>' in content %}"
    "{%- set thoughts = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{%- set content = content.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last and (loop.last or thoughts) %}"
    "{{- '<|im_start|>' + message.role + '\n<think>\n' + thoughts.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + content }}{%- endif %}{{- '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\n\n</think>\n\n' }}{%- endif %}{%- endif %}"
)

QWEN3_WITHOUT_THOUGHTS = "{%- set enable_thinking = false %}" + QWEN3
"""What is written before an answer that is to come is not there any more before a past one."""

R1 = (
    "{% if messages[0].role == 'system' %}{{ bos_token + messages[0].content }}{% else %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}{% if message.role == 'user' %}{{ '<|user|>' + message.content }}"
    "{% elif message.role == 'assistant' %}{% set content = message.content %}{% if '</think>' in content %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}{{ '<|assistant|>' + content + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}"
)

SMOLLM3 = (
    "{%- set mode = '/think' -%}{{- '<|im_start|>system\n' -}}{%- if messages[0].role == 'system' -%}"
    "{%- set said = messages[0].content -%}{%- if '/no_think' in said -%}{%- set mode = '/no_think' -%}{%- endif -%}"
    "{%- set own = said.replace('/no_think', '').replace('/think', '').rstrip() -%}{%- endif -%}"
    "{%- set today = strftime_now('%d %B %Y') -%}{{- 'It is ' ~ today ~ '\nMode: ' + mode + '\n\n' -}}"
    "{%- if own -%}{{- own + '\n\n' -}}{%- else -%}{{- 'You are a lamp.\n\n' -}}{%- endif -%}{{- '<|im_end|>\n' -}}"
    "{%- for message in messages -%}{%- if message.role == 'user' -%}"
    "{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- elif message.role == 'assistant' -%}"
    "{% generation %}{%- if mode == '/think' -%}{{ '<|im_start|>assistant\n' + message.content.lstrip('\n') + '<|im_end|>\n' }}"
    "{%- else -%}{{ '<|im_start|>assistant\n<think>\n\n</think>\n' + message.content.lstrip('\n') + '<|im_end|>\n' }}{%- endif -%}"
    "{% endgeneration %}{%- endif -%}{%- endfor -%}{%- if add_generation_prompt -%}{%- if mode == '/think' -%}"
    "{{ '<|im_start|>assistant\n' }}{%- else -%}{{ '<|im_start|>assistant\n<think>\n\n</think>\n' }}{%- endif -%}{%- endif -%}"
)

PHI3 = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '<|end|>\n' }}"
    "{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '<|end|>\n' }}{% else %}"
    "{{ '<|assistant|>\n' + message['content'] + '<|end|>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)

MISTRAL = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] %}{%- set turns = messages[1:] %}{%- else %}"
    "{%- set turns = messages %}{%- endif %}{{- bos_token }}{%- for message in turns %}"
    "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('Turns alternate') }}{%- endif %}"
    "{%- if message['role'] == 'user' %}{%- if loop.first and system is defined %}"
    "{{- '[INST] ' + system + '\n\n' + message['content'] + '[/INST]' }}{%- else %}{{- '[INST] ' + message['content'] + '[/INST]' }}"
    "{%- endif %}{%- else %}{{- ' ' + message['content'] | trim + eos_token }}{%- endif %}{%- endfor %}"
)
"""Before a past answer there is a space."""

MISTRAL_V1 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% else %}{{ raise_exception('Only turns') }}"
    "{% endif %}{% endfor %}"
)

GLM = (
    "{%- for m in messages -%}{%- if m.role == 'user' -%}<|user|>\n{{ m.content }}{%- elif m.role == 'assistant' -%}"
    "<|assistant|>{%- set content = m.content.split('</think>')[-1].strip() -%}{{ '\n<think></think>' }}"
    "{%- if content -%}{{ '\n' + content }}{%- endif -%}{%- endif -%}{%- if m.role == 'system' -%}<|system|>\n{{ m.content }}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)

FAMILIES = {
    "gemma 2": GEMMA2,
    "gemma 3": GEMMA3,
    "llama 3": LLAMA3,
    "llama 3, date": LLAMA3_DATE,
    "qwen 2.5": QWEN25,
    "qwen 3": QWEN3,
    "qwen 3, no thoughts": QWEN3_WITHOUT_THOUGHTS,
    "r1": R1,
    "smollm 3": SMOLLM3,
    "phi 3": PHI3,
    "mistral": MISTRAL,
    "mistral, v1": MISTRAL_V1,
}
DATED = ("llama 3, date", "smollm 3")
