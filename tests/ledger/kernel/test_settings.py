import pytest

from ledger.kernel.clock import ShiftedClock, SystemClock
from ledger.kernel.errors import SettingsError
from ledger.kernel.settings import DEFAULT_SECRET, Settings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("GUOYUAN_HOME", raising=False)
    return monkeypatch


@pytest.mark.parametrize("secret", [None, DEFAULT_SECRET, "too short to be one"])
def test_production_refuses_a_default_or_short_secret(environment: pytest.MonkeyPatch, secret: str | None) -> None:
    environment.setenv("GUOYUAN_ENVIRONMENT", "production")
    if secret is not None:
        environment.setenv("GUOYUAN_SECRET", secret)
    with pytest.raises(SettingsError, match="GUOYUAN_SECRET must be set to at least 32 random characters"):
        Settings.load()


def test_production_starts_with_a_secret_of_its_own(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GUOYUAN_ENVIRONMENT", "production")
    environment.setenv("GUOYUAN_SECRET", "x" * 32)
    assert isinstance(Settings.load().clock, SystemClock)


def test_a_wrong_setting_is_named_in_one_line(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("GUOYUAN_PORT", "eighty")
    environment.setenv("GUOYUAN_ENVIRONMENT", "holiday")
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert "port" in str(refused.value)
    assert "environment" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_only_a_demonstration_may_shift_its_clock(environment: pytest.MonkeyPatch) -> None:
    assert isinstance(Settings.load().clock, SystemClock)
    environment.setenv("GUOYUAN_ENVIRONMENT", "demo")
    assert isinstance(Settings.load().clock, ShiftedClock)
    assert Settings.load().is_sample


def test_a_secret_does_not_show_in_a_print_of_the_settings() -> None:
    assert "hush" not in repr(Settings(secret="hush" * 10))
