"""Which version is spoken next, given what a broker has answered."""

from __future__ import annotations

from specnet.mqtt.protocol import Answer, VersionChoice


def test_version_5_is_asked_for_first_and_kept_once_accepted() -> None:
    choice = VersionChoice("auto")
    assert (choice.version, choice.probing) == ("5", True)
    assert choice.learn(Answer.ACCEPTED)  # the question was answered: connect now
    assert (choice.version, choice.probing) == ("5", False)
    choice.lost()
    assert not choice.learn(Answer.UNREACHABLE)
    assert (choice.version, choice.probing) == ("5", False)


def test_a_refusal_of_version_5_is_remembered() -> None:
    choice = VersionChoice("auto")
    assert choice.learn(Answer.WRONG_VERSION)
    assert choice.version == "3.1.1"
    assert not choice.learn(Answer.ACCEPTED)
    choice.lost()
    choice.learn(Answer.UNREACHABLE)
    assert choice.version == "3.1.1"


def test_silence_is_only_a_guess_that_is_made_again_after_a_loss() -> None:
    choice = VersionChoice("auto")
    assert choice.learn(Answer.SILENT)
    assert choice.version == "3.1.1"
    choice.learn(Answer.ACCEPTED)
    choice.lost()
    assert (choice.version, choice.probing) == ("5", True)


def test_a_broker_that_died_during_the_question_is_asked_again() -> None:
    choice = VersionChoice("auto")
    choice.learn(Answer.SILENT)
    assert not choice.learn(Answer.UNREACHABLE)
    assert (choice.version, choice.probing) == ("5", True)


def test_a_broker_replaced_by_an_older_one_is_asked_again() -> None:
    choice = VersionChoice("auto")
    choice.learn(Answer.ACCEPTED)
    assert not choice.learn(Answer.SILENT)
    assert (choice.version, choice.probing) == ("5", True)


def test_a_broker_replaced_by_a_newer_one_that_refuses_the_old_version_is_asked_again() -> None:
    choice = VersionChoice("auto")
    choice.learn(Answer.WRONG_VERSION)
    assert not choice.learn(Answer.WRONG_VERSION)
    assert (choice.version, choice.probing) == ("5", True)


def test_refused_credentials_say_nothing_about_the_version() -> None:
    choice = VersionChoice("auto")
    choice.learn(Answer.WRONG_VERSION)
    assert not choice.learn(Answer.OTHER)
    assert choice.version == "3.1.1"


def test_a_demanded_version_is_never_left() -> None:
    for version in ("5", "3.1.1"):
        choice = VersionChoice(version)
        for answer in Answer:
            assert not choice.learn(answer)
            assert (choice.version, choice.probing) == (version, False)
