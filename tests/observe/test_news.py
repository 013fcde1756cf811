from __future__ import annotations

from fluent_plugin_amp.observe.news import BLIP_ATTEMPTS, REPEAT_AFTER_S, News

QUIET_S = 60.0


def test_a_trouble_is_news_when_it_begins_and_every_ten_minutes() -> None:
    """Not with each try."""
    news = News()
    said = [second for second in range(0, 3600, 10) if news.trouble("lost", float(second))]
    assert said == [0, 600, 1200, 1800, 2400, 3000]


def test_trouble_of_another_kind_is_news_at_once() -> None:
    """The first kind too, when it returns."""
    news = News(QUIET_S)
    assert [news.trouble(kind, 0.0) for kind in ("lost", "lost", "away", "away", "lost")] == [1, 0, 1, 0, 1]


def test_a_connection_is_news_unless_the_trouble_before_was_none() -> None:
    """Who is connected and lost again and again reads as neither; who was begun anew by a reload is connected."""
    news = News()
    assert [news.connected(), news.connected()] == [True, True]
    assert [news.trouble("lost", 1.0), news.trouble("lost", 1.5), news.connected()] == [True, False, True]
    assert [news.trouble("lost", 2.0), news.trouble("lost", 2.5), news.connected()] == [False, False, False]
    assert [news.trouble("lost", 1.0 + REPEAT_AFTER_S), news.connected()] == [True, True]


def test_what_comes_after_the_end_is_another_trouble() -> None:
    """News although it is of the same kind."""
    news = News()
    assert news.trouble("lost", 0.0)
    assert not news.trouble("lost", 1.0)
    news.over()
    assert news.trouble("lost", 2.0)
    assert not news.trouble("lost", 3.0)


def test_a_blip_is_news_once_in_a_while() -> None:
    """A server that acks and closes, again and again, has a line or two a minute."""
    news, said = News(QUIET_S), 0
    for second in range(180):
        said += news.trouble("lost", float(second))
        said += news.connected()
        news.over()
    assert said == 3 * 2


def test_what_goes_on_is_no_blip() -> None:
    """It is news after a few failures, and not again at each of those that follow."""
    news = News(QUIET_S)
    assert news.trouble("lost", 0.0)
    news.over()
    said = [news.trouble("lost", 1.0, attempt) for attempt in range(1, 11)]
    assert said.index(True) == BLIP_ATTEMPTS
    assert said.count(True) == 1
