import inspect

from ledger.kernel.errors import OriginError
from orders import errors


def _all() -> list[type[OriginError]]:
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]


def test_drawing_shows_every_error() -> None:
    for error in _all():
        assert error.__name__ in (errors.__doc__ or "")


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [error.code for error in _all()]
    assert len(set(codes)) == len(codes)
    assert all(issubclass(error, errors.OrderError) for error in _all())


def test_refusals_carry_their_numbers() -> None:
    error = errors.PackError("below_nominal", "2499 g; 2500 g", scale_g=2499)
    assert (error.rule, error.facts) == ("below_nominal", {"scale_g": 2499})
    assert str(errors.StaleMessageError("shop", away_s=-400, allowed_s=300)).startswith(
        "message from shop is 400 s ahead"
    )
