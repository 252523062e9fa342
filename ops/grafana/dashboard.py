"""`python -m ops.grafana.dashboard` writes penstock.json beside it; a test fails while the two differ.

Built with Grafana's foundation SDK, for the schema of Grafana 11.6.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import BigValueTextMode

FILE = Path(__file__).with_name("penstock.json")
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${source}")
ONE = 'instance=~"$instance"'
WIDE, NARROW, HIGH, LOW = 8, 4, 8, 4


class Curve(NamedTuple):
    """expr: PromQL; legend: Prometheus' template of labels."""

    expr: str
    legend: str


class Plot(NamedTuple):
    title: str
    unit: str
    curves: Sequence[Curve]
    description: str = ""


class Number(NamedTuple):
    """good: values below it are green, others red; None: no judgement."""

    title: str
    unit: str
    expr: str
    legend: str = "__auto"
    good: float | None = None


NUMBERS = (
    Number("State", units.Short, f"penstock_worker_state{{{ONE}}} == 1", "{{state}}"),
    Number("Degraded", units.BoolYesNo, f"penstock_degraded{{{ONE}}}", good=1),
    Number("Problems", units.Short, f"sum(penstock_problem{{{ONE}}}) or vector(0)", good=1),
    Number("Records trained", units.Short, f'sum(penstock_ledger_records{{{ONE}, kind="trained"}})'),
    Number("Lag, records", units.Short, f"sum(penstock_lag_records{{{ONE}}})"),
    Number("Records lost", units.Short, f"sum(penstock_records_lost_total{{{ONE}}})", good=1),
)
ROWS: dict[str, Sequence[Plot]] = {
    "The stream": (
        Plot(
            "Records a second",
            units.Short,
            (
                Curve(f"rate(penstock_records_fetched_total{{{ONE}}}[$__rate_interval])", "fetched"),
                Curve(f"rate(penstock_records_trained_total{{{ONE}}}[$__rate_interval])", "trained"),
                Curve(f"rate(penstock_records_held_out_total{{{ONE}}}[$__rate_interval])", "held out"),
            ),
        ),
        Plot("Lag, records", units.Short, (Curve(f"penstock_lag_records{{{ONE}}}", "{{topic}} {{partition}}"),)),
        Plot("Lag, time", units.Seconds, (Curve(f"penstock_lag_seconds{{{ONE}}}", "{{topic}} {{partition}}"),)),
        Plot(
            "Freshness",
            units.Seconds,
            tuple(
                Curve(
                    f"histogram_quantile({share}, sum by (le) "
                    f"(rate(penstock_freshness_seconds_bucket{{{ONE}}}[$__rate_interval])))",
                    f"p{share * 100:.0f}",
                )
                for share in (0.5, 0.95)
            ),
            "From a record's event to the end of the step that trained it.",
        ),
        Plot(
            "Bad and skipped records a second",
            units.Short,
            (
                Curve(f"rate(penstock_records_dead_lettered_total{{{ONE}}}[$__rate_interval])", "bad: {{reason}}"),
                Curve(f"rate(penstock_records_skipped_total{{{ONE}}}[$__rate_interval])", "skipped: {{reason}}"),
            ),
        ),
        Plot(
            "Retention headroom",
            units.Seconds,
            (Curve(f"penstock_retention_headroom_seconds{{{ONE}}} < Inf", "{{topic}} {{partition}}"),),
            "Until retention may remove the next record to be trained.",
        ),
    ),
    "The training": (
        Plot("Loss", units.NoUnit, (Curve(f"penstock_loss{{{ONE}}}", "loss"),)),
        Plot(
            "Scores",
            units.NoUnit,
            (Curve(f"penstock_score{{{ONE}}}", "{{set}} {{name}} {{class}}"),),
        ),
        Plot("Learning rate", units.NoUnit, (Curve(f"penstock_learning_rate{{{ONE}}}", "learning rate"),)),
        Plot(
            "A step",
            units.Seconds,
            (
                Curve(
                    f"rate(penstock_step_duration_seconds_sum{{{ONE}}}[$__rate_interval]) "
                    f"/ rate(penstock_step_duration_seconds_count{{{ONE}}}[$__rate_interval])",
                    "mean",
                ),
            ),
        ),
        Plot(
            "Share of time waiting for data",
            units.PercentUnit,
            (Curve(f"rate(penstock_data_wait_seconds_total{{{ONE}}}[$__rate_interval])", "waiting"),),
            "Near 0 while it lags: the model is the bottleneck. Near 1: reading and decoding are.",
        ),
        Plot(
            "Records of a batch / batch size",
            units.PercentUnit,
            (
                Curve(
                    f"rate(penstock_batch_fill_ratio_sum{{{ONE}}}[$__rate_interval]) "
                    f"/ rate(penstock_batch_fill_ratio_count{{{ONE}}}[$__rate_interval])",
                    "mean",
                ),
            ),
        ),
    ),
    "Checkpoints": (
        Plot(
            "Age of the newest",
            units.Seconds,
            (Curve(f"time() - penstock_checkpoint_last_success_timestamp_seconds{{{ONE}}}", "age"),),
        ),
        Plot(
            "Duration and stall",
            units.Seconds,
            tuple(
                Curve(
                    f"rate(penstock_checkpoint_{name}_seconds_sum{{{ONE}}}[15m]) "
                    f"/ rate(penstock_checkpoint_{name}_seconds_count{{{ONE}}}[15m])",
                    name,
                )
                for name in ("duration", "stall")
            ),
        ),
        Plot(
            "Size and room",
            units.BytesIEC,
            (
                Curve(f"penstock_checkpoint_size_bytes{{{ONE}}}", "newest"),
                Curve(f"penstock_checkpoint_free_bytes{{{ONE}}}", "room left"),
            ),
        ),
    ),
    "The processes": (
        Plot(
            "Restarts and failures in an hour",
            units.Short,
            (
                Curve(f"increase(penstock_worker_restarts_total{{{ONE}}}[1h])", "worker: {{reason}}"),
                Curve(f"increase(penstock_checkpoint_failures_total{{{ONE}}}[1h])", "checkpoints failed"),
            ),
        ),
        Plot(
            "Memory",
            units.BytesIEC,
            (
                Curve(f"process_resident_memory_bytes{{{ONE}}}", "service"),
                Curve(f"penstock_worker_process_resident_memory_bytes{{{ONE}}}", "worker"),
            ),
        ),
        Plot(
            "Cores in use",
            units.Short,
            (
                Curve(f"rate(process_cpu_seconds_total{{{ONE}}}[$__rate_interval])", "service"),
                Curve(f"rate(penstock_worker_process_cpu_seconds_total{{{ONE}}}[$__rate_interval])", "worker"),
            ),
        ),
    ),
}


def main() -> None:
    FILE.write_text(rendered())


def rendered() -> str:
    """The dashboard as Grafana imports it."""
    return JSONEncoder(sort_keys=True, indent=1).encode(built()) + "\n"


def built() -> model.Dashboard:
    board = (
        dashboard.Dashboard("penstock")
        .uid("penstock")
        .description("A continuous training from Kafka: stream, training, checkpoints, processes.")
        .tags(["penstock", "kafka", "tensorflow"])
        .refresh("15s")
        .time("now-1h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("instance")
            .label("Instance")
            .datasource(SOURCE)
            .query("label_values(penstock_build_info, instance)")
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .multi(True)
        )
    )
    for number in NUMBERS:
        board.with_panel(_number(number))
    for title, plots in ROWS.items():
        board.with_row(dashboard.Row(title))
        for plot in plots:
            board.with_panel(_plot(plot))
    return board.build()


def _number(number: Number) -> stat.Panel:
    steps = [model.Threshold(color="green" if number.good is not None else "text")]
    if number.good is not None:
        steps.append(model.Threshold(value=number.good, color="red"))
    panel = stat.Panel().title(number.title).unit(number.unit).datasource(SOURCE).span(NARROW).height(LOW)
    panel.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    if number.legend != "__auto":
        panel.text_mode(BigValueTextMode.NAME)
    return panel.with_target(_query(Curve(number.expr, number.legend), "A").instant())


def _plot(plot: Plot) -> timeseries.Panel:
    panel = timeseries.Panel().title(plot.title).unit(plot.unit).datasource(SOURCE).span(WIDE).height(HIGH)
    panel.description(plot.description).fill_opacity(8).line_width(2)
    for letter, curve in zip("ABCDEF", plot.curves, strict=False):
        panel.with_target(_query(curve, letter))
    return panel


def _query(curve: Curve, letter: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(curve.expr).legend_format(curve.legend)


if __name__ == "__main__":
    main()
