"""Prompts that are answered at the same time: each gets what it would get alone."""

import threading
from contextlib import closing
from itertools import islice
from typing import Any

import pytest

import llasa_builders
from waiting import wait_until
from xcodec.errors import InputError
from xcodec.llasa import NEUTTS, Prompts, Sampling, SpeechTokens, TransformersEngine

TEXTS = ["Hello there.", "he was not an ill disposed young man", "And why?", "x" * 150]
WAYS = [
    Sampling(temperature=0, max_codes=40),
    Sampling(seed=1, max_codes=25),
    Sampling(seed=2, top_p=0.9, top_k=0, repetition_penalty=1.3, max_codes=30),
    Sampling(temperature=0, max_codes=10),
]


class Asked:
    """An engine on a small model of random weights, what it is asked, and how many rows each of its steps has."""

    def __init__(self, **options: int) -> None:
        tokenizer = llasa_builders.text_tokenizer()
        tokens = SpeechTokens.add(tokenizer, 256)
        self.engine = TransformersEngine(llasa_builders.small_llama(len(tokenizer)), tokens, **options)
        prompts = Prompts(tokenizer, tokens)
        self.prompts = [prompts.ids(text) for text in TEXTS]
        self.rows: list[int] = []
        self.before_step: dict[int, Any] = {}
        forward = self.engine.model.forward

        def counted(**inputs: Any) -> Any:
            self.before_step.pop(len(self.rows), lambda: None)()
            self.rows.append(len(inputs["input_ids"]))
            return forward(**inputs)

        self.engine.model.forward = counted

    def alone(self, i: int) -> list[Any]:
        return list(self.engine.stream(self.prompts[i], WAYS[i]))


@pytest.fixture(scope="module")
def alone() -> list[list[Any]]:
    asked = Asked()
    return [asked.alone(i) for i in range(len(TEXTS))]


def test_a_batch_gives_each_what_it_gets_alone_whatever_its_sampling(alone: list[list[Any]]) -> None:
    asked = Asked()
    together: list[list[Any]] = [[] for _ in TEXTS]
    for i, id_ in asked.engine.batch(asked.prompts, WAYS):
        together[i].append(id_)
    assert together == alone
    assert (asked.rows[0], max(asked.rows[1:]), asked.rows[-1]) == (4, 4, 1)
    assert len(asked.rows) == 41


def test_prompts_join_those_that_are_being_answered(alone: list[list[Any]]) -> None:
    asked, found = Asked(), {}

    def answer(i: int) -> None:
        found[i] = asked.alone(i)

    threads = [threading.Thread(target=answer, args=(i,)) for i in range(len(TEXTS))]
    # Each of the others is there before a certain step of the first is taken, however slow its thread is.
    for step, i in ((3, 1), (9, 2), (9, 3)):
        before = asked.before_step.get(step, lambda: None)

        def start(i: int = i, before: Any = before) -> None:
            before()
            waiting = len(asked.engine._waiting)
            threads[i].start()
            wait_until(lambda: len(asked.engine._waiting) > waiting)

        asked.before_step[step] = start
    threads[0].start()
    for i in range(len(TEXTS)):
        wait_until(lambda i=i: i in found)
    assert [found[i] for i in range(len(TEXTS))] == alone
    assert max(asked.rows) == 4


def test_who_leaves_is_worked_on_no_more_and_the_others_go_on(alone: list[list[Any]]) -> None:
    asked = Asked()
    with closing(asked.engine.batch(asked.prompts[:2], WAYS[:2])) as both:
        with closing(asked.engine.stream(asked.prompts[2], WAYS[2])) as third:
            next(third)
        found: list[list[Any]] = [[], []]
        for i, id_ in both:
            found[i].append(id_)
    assert found == alone[:2]
    stream = asked.engine.stream(asked.prompts[0], WAYS[0])
    assert list(islice(stream, 3)) == alone[0][:3]
    stream.close()
    wait_until(lambda: asked.engine._thread is None)
    taken = len(asked.rows)
    assert asked.alone(3) == alone[3]
    assert len(asked.rows) == taken + 11


def test_more_prompts_than_fit_wait_for_their_turn(alone: list[list[Any]]) -> None:
    asked = Asked(most_rows=2)
    together: list[list[Any]] = [[] for _ in TEXTS]
    for i, id_ in asked.engine.batch(asked.prompts, WAYS):
        together[i].append(id_)
    assert together == alone
    assert max(asked.rows) == 2


def test_what_goes_wrong_with_a_prompt_concerns_those_who_asked_it(alone: list[list[Any]]) -> None:
    asked = Asked()
    errors: list[BaseException] = []

    def fail() -> None:
        raise MemoryError("no room for this prompt")

    def ask() -> None:
        try:
            asked.alone(1)
        except MemoryError as error:
            errors.append(error)

    second = threading.Thread(target=ask)

    def join() -> None:
        second.start()
        wait_until(lambda: asked.engine._waiting)
        asked.before_step[len(asked.rows) + 1] = fail  # when the second's prompt is read

    asked.before_step[5] = join
    assert asked.alone(0) == alone[0]
    second.join()
    assert [str(error) for error in errors] == ["no room for this prompt"]
    asked.before_step[len(asked.rows) + 3] = fail
    with pytest.raises(MemoryError, match="no room for this prompt"):
        asked.alone(2)
    assert asked.alone(3) == alone[3]


def test_the_end_cannot_come_before_the_least_codes_in_a_batch_as_alone() -> None:
    asked = Asked()
    engine, end_id = asked.engine, asked.engine.tokens.end_id
    forward = engine.model.forward

    def ending(**inputs: Any) -> Any:
        answer = forward(**inputs)
        answer.logits[..., end_id] = 1e4  # it would end at once
        return answer

    engine.model.forward = ending
    least = (1, 3, 12, 7)
    ways = [Sampling(seed=i, temperature=i % 2, max_codes=20, least_codes=least[i]) for i in range(4)]
    alone = [list(engine.stream(asked.prompts[i], ways[i])) for i in range(4)]
    assert [len(ids) for ids in alone] == [codes + 1 for codes in least]
    assert all(ids.index(end_id) == codes for ids, codes in zip(alone, least, strict=True))
    together: list[list[Any]] = [[] for _ in least]
    for i, id_ in engine.batch(asked.prompts, ways):
        together[i].append(id_)
    assert together == alone
    assert NEUTTS.sampling.least_codes == 50
    with pytest.raises(InputError, match="least_codes=0: expected a number above 0"):
        Sampling(least_codes=0)


def test_a_model_that_keeps_another_state_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = llasa_builders.text_tokenizer()
    tokens = SpeechTokens.add(tokenizer, 256)
    model = llasa_builders.small_llama(len(tokenizer))
    monkeypatch.setattr(type(model), "_is_stateful", True)
    with pytest.raises(InputError, match="LlamaForCausalLM keeps another state than keys and values"):
        TransformersEngine(model, tokens)
