"""The smallest automaton that accepts what another does (Hopcroft 1971)."""

from __future__ import annotations

from collections import deque

NOWHERE = -1


def minimized(table: list[list[int]], accepting: list[bool]) -> tuple[list[list[int]], list[bool]]:
    """States that no text tells apart become one; numbered in the order in which the first one reaches them.

    `table`: [states][classes], the next state or -1; each state is on the way to an accepting one, and state 0 is the first.
    """
    blocks = _partition(table, accepting)
    block_of = {state: number for number, block in enumerate(blocks) for state in block}
    block_of[NOWHERE] = NOWHERE
    first = block_of[0]
    numbers, order, waiting = {first: 0, NOWHERE: NOWHERE}, [first], deque([first])
    while waiting:
        for target in table[next(iter(blocks[waiting.popleft()]))]:
            block = block_of[target]
            if block not in numbers:
                numbers[block] = len(order)
                order.append(block)
                waiting.append(block)
    chosen = [next(iter(blocks[block])) for block in order]
    rows = [[numbers[block_of[target]] for target in table[state]] for state in chosen]
    return rows, [accepting[state] for state in chosen]


def _partition(table: list[list[int]], accepting: list[bool]) -> list[set[int]]:
    """The coarsest partition in which states of a block accept alike and lead to the same blocks."""
    count, sink = len(table), len(table)  # the sink stands for nowhere
    classes = len(table[0])
    before: list[dict[int, list[int]]] = [{} for _ in range(classes)]
    for state, row in enumerate(table):
        for name, target in enumerate(row):
            before[name].setdefault(sink if target == NOWHERE else target, []).append(state)
    for name in range(classes):
        before[name].setdefault(sink, []).append(sink)
    accepts = {state for state in range(count) if accepting[state]}
    blocks = [block for block in (accepts, set(range(count)) - accepts | {sink}) if block]
    block_of = {state: number for number, block in enumerate(blocks) for state in block}
    waiting = {(number, name) for number in range(len(blocks)) for name in range(classes)}
    while waiting:
        number, name = waiting.pop()
        leading: dict[int, set[int]] = {}
        for target in list(blocks[number]):
            for state in before[name].get(target, ()):
                leading.setdefault(block_of[state], set()).add(state)
        for split, inside in leading.items():
            if len(inside) == len(blocks[split]):
                continue
            new = len(blocks)
            smaller = inside if 2 * len(inside) <= len(blocks[split]) else blocks[split] - inside
            blocks[split] -= smaller
            blocks.append(smaller)
            for state in smaller:
                block_of[state] = new
            for other in range(classes):
                # Whether or not (split, other) waits: it is then the rest, and the new part waits beside it.
                waiting.add((new, other))
    return [block - {sink} for block in blocks if block - {sink}]
