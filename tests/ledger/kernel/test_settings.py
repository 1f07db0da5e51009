from pathlib import Path

import pytest

from ledger.kernel.clock import ShiftedClock, SystemClock
from ledger.kernel.errors import SettingsError
from ledger.kernel.settings import DEFAULT_PASSPHRASE, DEFAULT_SECRET, Settings


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
    environment.setenv("GUOYUAN_KEYSTORE_PASSPHRASE", "correct horse battery")
    assert isinstance(Settings.load().clock, SystemClock)


@pytest.mark.parametrize("passphrase", [None, "", DEFAULT_PASSPHRASE, "short"])
def test_production_refuses_a_publisher_key_that_anybody_opens(
    environment: pytest.MonkeyPatch, passphrase: str | None
) -> None:
    environment.setenv("GUOYUAN_ENVIRONMENT", "production")
    environment.setenv("GUOYUAN_SECRET", "x" * 32)
    if passphrase is not None:
        environment.setenv("GUOYUAN_KEYSTORE_PASSPHRASE", passphrase)
    with pytest.raises(SettingsError, match="GUOYUAN_KEYSTORE_PASSPHRASE must be set"):
        Settings.load()
    environment.setenv("GUOYUAN_SIGNER_URL", "http://127.0.0.1:9/")
    assert Settings.load().signer_url


def test_a_passphrase_may_stand_in_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    environment.setenv("GUOYUAN_KEYSTORE_PASSPHRASE_FILE", str(file))
    with pytest.raises(SettingsError, match="does not hold a passphrase"):
        _ = Settings.load().passphrase
    file.write_text("of its own, and long\n")
    assert Settings.load().passphrase == "of its own, and long"


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
