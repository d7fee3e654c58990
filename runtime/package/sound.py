"""What a manifest must hold of audio: one length of samples, their rate, and one scale for all."""

from handful.runtime.errors import ManifestError

from .manifest import InputSpec

MIN_RATE, MAX_RATE = 1000, 192_000  # samples a second
MAX_SAMPLES = 2**24  # of an example: five minutes at 48 kHz
RANGE = (-1.0, 1.0)
SCALE, OFFSET = 1 / 128, -1.0  # of 8-bit samples, whose middle is 128


def check_sound(spec: InputSpec) -> None:
    """Raise a ManifestError where audio is not mono samples from -1 to 1 at a known rate."""
    if len(spec.shape) != 1 or spec.shape[0] > MAX_SAMPLES:
        raise ManifestError(
            f"`input.shape` is {list(spec.shape)}, wanted one number of samples,"
            f" up to {MAX_SAMPLES}: the input is audio"
        )
    if spec.rate is None or not MIN_RATE <= spec.rate <= MAX_RATE:
        raise ManifestError(f"`input.rate` is {spec.rate}, wanted {MIN_RATE} to {MAX_RATE} hertz")
    if spec.range != RANGE:
        found = spec.range and list(spec.range)
        raise ManifestError(f"`input.range` is {found}, wanted [-1, 1]: the input is audio")
    if (spec.scale, spec.offset) != (SCALE, OFFSET):
        raise ManifestError(
            f"`input.scale` and `offset` are {spec.scale:g} and {spec.offset:g},"
            f" wanted {SCALE:g} and {OFFSET:g}: the input is audio"
        )


def sound_spec(rate: int, samples: int) -> InputSpec:
    """The `input` of a package that takes so many samples at `rate` hertz."""
    return InputSpec(
        kind="audio", shape=(samples,), range=RANGE, scale=SCALE, offset=OFFSET, rate=rate
    )
