"""How far a growth forecast may be trusted: odds by counting, intervals by tracking, and the alarm.

Every forecast falls into a *cell*: how much time it gives, what it rests on, whether it has been
stable, whether growth is just stopping. Once in twelve hours a row's forecast is set aside and
resolved later: by the crossing, or by time running out as "did not happen" (which is how growth
that stops is counted). The odds of a crossing within 24, 36 and 72 hours are the cell's counts,
drawn towards those of its time bin. The interval is the tracked .1 and .9 quantiles of log(true /
predicted): no more than a tenth of the forecasts comes true or not at all after P90, and a tenth of
those that come true before P10; the median is the forecast itself, what to expect *if* growth goes
on. Errors are counted in the series' own unit (`Outlook.unit`). All start from a committed table of
seeded synthetic series (`models.growth_prior`) and go on learning from the fleet.

The alarm: on when, in two slots running, the odds are high **and** the second opinion agrees. How
high depends on what vouches: growth on each of two days with a skilled hindcast needs less than a
rise of today; what is left to act in decides as well (a short fuse needs less), and below two days
of history only that counts. Off after six slots of low odds, or two after something was freed or
where no crossing is foreseen at all, unless a sure slope still leads to the limit.

What rows share (`Table`) changes only in `fold`, from counts that add up in any order, so the odds
do not depend on how samples were batched. About 250 bytes and 5 µs a row and half hour.

References
----------
[1] P. J. Huber's and the pinball loss: R. Koenker, G. Bassett, Regression Quantiles (1978); the
    tracking step is its stochastic gradient.
[2] I. Gibbs, E. Candès, Adaptive Conformal Inference under Distribution Shift (2021), eq. 2: the
    same recursion on coverage.
[3] D. Lindley, A. Smith (1972): shrinking a cell's proportion towards its group's.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import Arrays, Bools, Floats, Rows, Schema, StructOfArrays
from models.crossing import Evidence, Outlook
from models.growth_prior import COUNTS, QUANTILES
from models.sawtooth import Reclaim

TIME_EDGES: Final = np.array(
    [0.5, 1.5, 3, 6, 9, 12, 18, 24, 30, 36, 48, 72, 120, 200], np.float64
)  # hours
# Evidence; then three for series too young for it; then what was killed at its limit before.
KINDS: Final = 11
CLOCKED: Final = KINDS - 1
LEARNING_HOURS: Final = 48.0  # below two days of history a series is still being learned
YOUNG_HOURS: Final = 72.0  # growth on each of two days cannot be seen before three
CELLS: Final = (len(TIME_EDGES) + 1) * KINDS * 4
SPAN_EDGES: Final = np.array([3, 6, 12, 24, 48, 96], np.float64)  # hours, of the quantiles' bins
TRUSTS: Final = 3  # odds low, odds high, leak clock: each has quantiles of its own
CONFIDENT: Final = 0.8  # odds within 72 h from which a forecast has narrower quantiles of its own
ODDS_HOURS: Final = np.array([24, 36, 72], np.float64)
LEVELS: Final = np.array([0.1, 0.9])
PRIOR_CAP: Final = 200.0  # forecasts: a table's cell never outweighs more than the fleet can teach
OPEN_ENDED: Final = 3.0  # log: a P90 beyond twenty times the forecast is not said,
OPEN_UNITS: Final = 5.0  # nor one beyond so many units: a tenth never came
_SHRINK: Final = 8.0  # forecasts' worth of the time bin in each cell
_QUANTILE_RATE: Final = 0.01
# Forecasts that move a quantile in one fold at most: a fleet's thousands, and the dozen of one
# object, err together and would throw it to and fro.
_FOLD_MOST: Final = 20.0
GRAIN: Final = 0.25  # hours: least distance of P10 and P90 from the median
_SEEN_LATE: Final = 0.5  # hours: a crossing is seen at the end of its half hour, or of the next;
_KILL_SEEN_LATE: Final = 0.25  # a kill was somewhere in it
_PENDING: Final = 16  # forecasts set aside per row, twelve hours apart
_STRIDE: Final = 24  # slots
_RECENT: Final = 16  # slots of time left remembered,
_REMEMBERED: Final = 6e4  # hours at most: what half precision can hold
_LONGEST: Final = 190.0  # hours until the last question about a forecast is closed

# The alarm, as odds of a crossing within so many hours; chosen on seeds 906 and 908 of the design
# families (`benchmarks/quality`).
ON_36, SURE_36, SURE_72, OFF_36 = 0.40, 0.88, 0.94, 0.40
SKILLED: Final = 0.5  # skill of the hindcast from which less will do
SKILLED_36, SKILLED_72 = 0.75, 0.80
SKILLED_ALONE: Final = 0.8
FUSE_24: Final = 0.65  # a short fuse: so likely within a day,
FUSE_HOURS: Final = 7.0  # and so little time to wait for more
LEARNING_FUSE: Final = 8.0  # hours: further ahead a series of less than two days is not believed,
FIRST_HOURS, FIRST_FUSE = 16.0, 20.0  # but after so many hours, so far ahead, at the fuse's odds,
PROVEN_HOURS, PROVEN_FUSE = 24.0, 24.0  # and after a day, a day ahead, where the hindcast is good
ON_SLOTS, OFF_SLOTS, OFF_SLOTS_EASE = 2, 6, 2
AGREE_HOURS: Final = 48.0  # the second opinion's
STILL_HOURS: Final = 72.0  # an alarm outlives doubt while a sure slope still leads there


class Odds(NamedTuple):
    """What is said about n rows.

    Attributes
    ----------
    crossing : (n, 3)
        Odds of a crossing within 24, 36, 72 hours.
    hours : (n, 3)
        P10, P50, P90 of time left; inf: none foreseen, or open-ended.
    alarm : (n,)
        Whether the alarm is on.
    learning : (n,)
        Whether there is less than two days of history.
    """

    crossing: Floats
    hours: Floats
    alarm: Bools
    learning: Bools


class Table:
    """What all rows share: counts by cell and quantiles by span.

    `arrays` are live; whoever restores writes into them.
    """

    def __init__(self, prior: bool = True) -> None:
        counts = np.zeros((CELLS, 4))  # forecasts; crossed within 24, 36, 72 h
        quantiles = np.array(QUANTILES, np.float64)
        if prior:
            for cell, *row in COUNTS:
                counts[cell] = np.array(row) * min(1.0, PRIOR_CAP / row[0])
        self._arrays: dict[str, NDArray[Any]] = {
            "counts": counts,
            "quantiles": quantiles,
            "new_counts": np.zeros((CELLS, 4), np.int64),  # since the last fold
            "new_below": np.zeros(quantiles.shape, np.int64),
            "new_resolved": np.zeros(quantiles.shape, np.int64),  # that count for P10, for P90
        }
        self._odds = self._all_odds()

    def arrays(self) -> Arrays:
        """Return the live arrays; call `refresh` after writing into them."""
        return self._arrays

    def refresh(self) -> None:
        """Recompute what is derived from the arrays."""
        self._odds = self._all_odds()

    def fold(self) -> None:
        """Let what was resolved since the last fold count from here on."""
        new, resolved = self._arrays["new_counts"], self._arrays["new_resolved"]
        if not (new.any() or resolved.any()):
            return
        self._arrays["counts"] += new
        rate = _QUANTILE_RATE * np.minimum(1.0, _FOLD_MOST / np.maximum(resolved, 1))
        self._arrays["quantiles"] += rate * (LEVELS * resolved - self._arrays["new_below"])
        for name in ("new_counts", "new_below", "new_resolved"):
            self._arrays[name][...] = 0
        self.refresh()

    def odds(self, cells: NDArray[np.intp]) -> Floats:
        """Return the odds of crossing within 24, 36, 72 hours, (n, 3)."""
        chosen: Floats = self._odds[cells]
        return chosen

    def quantiles(self, cells: NDArray[np.intp], hours: Floats, units: Floats) -> Floats:
        """Return the .1 and .9 quantiles of log(true / predicted) of forecasts, (n, 2).

        `units` (n,) are `Outlook.unit`; a P90 beyond `OPEN_UNITS` is infinite.
        """
        ordered = np.maximum.accumulate(self._arrays["quantiles"], axis=1)
        chosen = ordered[self._span(cells, hours)]
        chosen[:, 1] = np.where(chosen[:, 1] >= OPEN_UNITS, np.inf, chosen[:, 1])
        scaled: Floats = chosen * units[:, None]
        return scaled

    def _span(self, cells: NDArray[np.intp], hours: Floats) -> NDArray[np.intp]:
        """Return the row of `quantiles`: predicted time × odds low, high, or a leak clock."""
        sure = self._odds[cells, -1] >= CONFIDENT
        trust = np.where(cells // 4 % KINDS == CLOCKED, 2, sure)
        span: NDArray[np.intp] = np.digitize(hours, SPAN_EDGES) * TRUSTS + trust
        return span

    def count(self, cells: NDArray[np.intp], hours: Floats) -> None:
        """Count forecasts of `cells` as crossed after `hours`; inf: not within 72 h."""
        outcome = np.concatenate(
            [np.ones((len(cells), 1), np.int64), (hours[:, None] <= ODDS_HOURS)], axis=1
        )
        np.add.at(self._arrays["new_counts"], cells, outcome)

    def track(
        self, cells: NDArray[np.intp], predicted: Floats, hours: Floats, units: Floats
    ) -> None:
        """Count where true `hours` fell among the quantiles of what was `predicted`."""
        span, ratio = self.ratios_of(cells, predicted, hours, units)
        below = ratio[:, None] <= self._arrays["quantiles"][span]
        np.add.at(self._arrays["new_below"], span, below)
        came = np.isfinite(ratio)
        np.add.at(self._arrays["new_resolved"], span, np.stack([came, np.ones_like(came)], axis=1))

    def ratios_of(
        self, cells: NDArray[np.intp], predicted: Floats, hours: Floats, units: Floats
    ) -> tuple[NDArray[np.intp], Floats]:
        """Return each forecast's row of `quantiles`, and its error in units."""
        ratio = np.log(np.maximum(hours, 0.25) / np.maximum(predicted, 0.25)) / units
        return self._span(cells, predicted), ratio

    def _all_odds(self) -> Floats:
        counts: Floats = self._arrays["counts"]
        bins = counts.reshape(len(TIME_EDGES) + 1, -1, 4).sum(axis=1)
        of_bin = (bins[:, 1:] + 0.2) / (bins[:, :1] + 2)
        of_bin = np.repeat(of_bin, KINDS * 4, axis=0)
        odds: Floats = (counts[:, 1:] + _SHRINK * of_bin) / (counts[:, :1] + _SHRINK)
        return odds


class CalibrationBank(StructOfArrays):
    """What is remembered of each row's forecasts: the recent, the open ones, and the alarm.

    Parameters
    ----------
    capacity
        Rows to begin with.
    """

    def __init__(self, capacity: int) -> None:
        schema: Schema = {
            "newest": (np.int64, (), -1),  # slot of the newest forecast
            "recent": (np.float16, (_RECENT,), np.nan),  # hours left, at slot mod 16
            "open_slot": (np.int32, (_PENDING,), -1),  # -1: free
            "open_hours": (np.float32, (_PENDING,), np.nan),
            "open_unit": (np.float16, (_PENDING,), np.nan),
            "open_cell": (np.int16, (_PENDING,), -1),
            "open_counted": (np.bool_, (_PENDING,), 0),
            "run": (np.int16, (), 0),  # slots in a row for (or against) the alarm
            "alarm": (np.bool_, (), 0),
        }
        super().__init__(schema, capacity)

    def restart(self, rows: Rows, slots: NDArray[np.int64], killed: Bools, table: Table) -> None:
        """End what is open: as a crossing where the limit killed, else unresolved.

        The alarm stays: the next generation has to show that it is better.
        """
        dead = np.ones(int(killed.sum()), np.bool_)
        self._resolve(rows[killed], slots[killed], dead, table, _KILL_SEEN_LATE)
        for name, (_, _, empty) in self._schema.items():
            if name not in {"run", "alarm"}:
                self._arrays[name][rows] = empty

    def follow(self, rows: Rows, slots: NDArray[np.int64], outlook: Outlook, table: Table) -> Odds:
        """Judge the outlook of rows whose slot has just closed, and remember it.

        Parameters
        ----------
        rows : (n,)
            Distinct rows.
        slots : (n,)
            Number of the slot that closed; rising for each row.
        outlook
            Of these rows.
        table
            What rows share; counts what is resolved, unfolded.
        """
        state, hours = self._arrays, outlook.hours
        broken = slots != state["newest"][rows] + 1
        state["recent"][rows[broken]] = np.nan
        stable = self._stable(rows, slots, outlook)
        cells = cell_of(outlook, stable)
        some = np.isfinite(hours) & (hours > 0)
        full = hours == 0
        chances = np.where(some[:, None], table.odds(cells), full[:, None].astype(np.float64))
        chances = np.maximum.accumulate(chances, axis=1)
        middle = np.where(some | full, hours, np.inf)
        quantiles = table.quantiles(cells, np.where(some, hours, 0.0), outlook.unit)
        spread = np.where(quantiles >= OPEN_ENDED, np.inf, np.exp(np.minimum(quantiles, 50.0)))
        low, high = (
            np.where(some, np.where(some, hours, 1.0) * spread[:, i], middle) for i in (0, 1)
        )
        # Nobody who looks every half hour knows a moment better than to half of that.
        low, high = np.minimum(low, middle - GRAIN), np.maximum(high, middle + GRAIN)
        left = np.stack([np.maximum(low, 0.0), middle, np.where(full, 0.0, high)], axis=1)

        self._resolve(rows, slots, full, table)
        # What is set aside when growth has just been noticed is worse than what is said later, and
        # would count for more than its share in a band, which must hold at every half hour.
        goes_on = state["recent"][rows, (slots - 1) % _RECENT] < _REMEMBERED
        asked = np.where(goes_on, hours, np.nan)
        self._set_aside(rows[some], slots[some], asked[some], outlook.unit[some], cells[some])
        state["recent"][rows, slots % _RECENT] = np.minimum(hours, _REMEMBERED)
        state["newest"][rows] = slots
        alarm = self._alarm(rows, chances, outlook)
        return Odds(chances, left, alarm, outlook.age < LEARNING_HOURS)

    def _stable(self, rows: Rows, slots: NDArray[np.int64], outlook: Outlook) -> Bools:
        """Whether the forecast of some hours ago, less these hours, says the same."""
        young = outlook.fast & (outlook.evidence == Evidence.FAST)
        back = np.where(young, 4, 12)
        before = self._arrays["recent"][rows, (slots - back) % _RECENT].astype(np.float64)
        before = np.where(slots - back > self._arrays["newest"][rows] - _RECENT, before, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            off = np.abs(np.log(np.maximum(before - back * 0.5, 0.05) / outlook.hours))
            agrees: Bools = off <= np.where(young, 0.3, 0.35)
        return agrees

    def _resolve(
        self,
        rows: Rows,
        slots: NDArray[np.int64],
        crossed: Bools,
        table: Table,
        seen_late: float = _SEEN_LATE,
    ) -> None:
        """Close the questions that time has answered."""
        if not rows.size:
            return
        state = self._arrays
        opened = state["open_slot"][rows]  # (n, p)
        if not (opened >= 0).any():
            return
        predicted = state["open_hours"][rows].astype(np.float64)
        age = (slots[:, None] - opened) * 0.5
        live = opened >= 0
        over = np.broadcast_to(crossed[:, None], live.shape)
        counts = live & ~state["open_counted"][rows] & (over | (age >= ODDS_HOURS[-1]))
        with np.errstate(invalid="ignore"):
            expired = age >= np.minimum(4 * predicted + 24, _LONGEST)
        tracks = live & (over | expired) & ~np.isnan(predicted)
        units = state["open_unit"][rows].astype(np.float64)
        outcome = np.where(over, np.maximum(age - seen_late, 0.0), np.inf)
        cells = state["open_cell"][rows].astype(np.intp)
        table.count(cells[counts], outcome[counts])
        table.track(cells[tracks], predicted[tracks], outcome[tracks], units[tracks])
        counted = state["open_counted"][rows] | counts
        state["open_counted"][rows] = counted
        # A forecast for the next hour is expired before its odds for 72 h are known.
        done = live & counted & (tracks | np.isnan(predicted))
        state["open_hours"][rows] = np.where(tracks, np.nan, state["open_hours"][rows])
        state["open_slot"][rows] = np.where(done, -1, opened)

    def _set_aside(
        self,
        rows: Rows,
        slots: NDArray[np.int64],
        hours: Floats,
        units: Floats,
        cells: NDArray[np.intp],
    ) -> None:
        """Open a question, once in twelve hours; hours are NaN where bands shall not ask it."""
        state = self._arrays
        turn = slots // _STRIDE
        place = turn % _PENDING
        fresh = state["open_slot"][rows, place] // _STRIDE != turn
        rows, place = rows[fresh], place[fresh]
        state["open_slot"][rows, place] = slots[fresh]
        state["open_hours"][rows, place] = hours[fresh]
        state["open_unit"][rows, place] = units[fresh]
        state["open_cell"][rows, place] = cells[fresh]
        state["open_counted"][rows, place] = False

    def _alarm(self, rows: Rows, chances: Floats, outlook: Outlook) -> Bools:
        state = self._arrays
        within24, within36, within72 = chances.T
        with np.errstate(invalid="ignore"):
            agrees = outlook.second < AGREE_HOURS
        steady = (outlook.evidence >= Evidence.UNSKILLED) & (outlook.skill >= SKILLED)
        # Before the fourth day growth cannot be on each of two days: the hindcast vouches alone.
        proven = (outlook.age >= PROVEN_HOURS) & (outlook.skill >= SKILLED_ALONE)
        steady |= proven & (outlook.age < YOUNG_HOURS) & (outlook.evidence == Evidence.FAST)
        sure = (within36 >= SURE_36) | (within72 >= SURE_72)
        sure |= steady & ((within36 >= SKILLED_36) | (within72 >= SKILLED_72))
        # Within a range that was freed before, a rise of today is what it always does.
        learning = outlook.age < LEARNING_HOURS
        first = learning & (outlook.age >= FIRST_HOURS)
        soon = outlook.hours < np.where(first, FIRST_FUSE, FUSE_HOURS)
        fuse = (within24 >= FUSE_24) & soon & (outlook.reclaim == Reclaim.NONE)
        told = ~learning | (outlook.hours < LEARNING_FUSE) | (first & fuse)
        told |= proven & (outlook.hours < PROVEN_FUSE)
        wants = (((within36 >= ON_36) & sure) | fuse) & agrees & told
        calm = (within36 < OFF_36) & ~(outlook.trend < STILL_HOURS)
        on = state["alarm"][rows]
        run = np.where(on, calm, wants) * (state["run"][rows] + 1)
        at_ease = np.isinf(outlook.hours) | (outlook.reclaim != Reclaim.NONE)
        enough = np.where(at_ease, OFF_SLOTS_EASE, OFF_SLOTS)
        turns = run >= np.where(on, enough, ON_SLOTS)
        alarm: Bools = on ^ turns
        state["run"][rows] = np.where(turns, 0, run)
        state["alarm"][rows] = alarm
        return alarm


def cell_of(outlook: Outlook, stable: Bools) -> NDArray[np.intp]:
    """Return the cell of each forecast: time × what it rests on × stable × stopping, (n,)."""
    with np.errstate(invalid="ignore"):
        time = np.digitize(np.nan_to_num(outlook.hours, posinf=1e9), TIME_EDGES)
    young = outlook.age < YOUNG_HOURS
    kind = np.where(young, len(Evidence) + outlook.fast * (1 + outlook.daily), outlook.evidence)
    kind = np.where(outlook.lives > 0, CLOCKED, kind)
    cell: NDArray[np.intp] = (((time * KINDS + kind) * 2 + stable) * 2 + outlook.stopping).astype(
        np.intp
    )
    return cell
