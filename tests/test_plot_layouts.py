import pytest

from sinks.plotting.automatic import AutomaticLayout
from sinks.plotting.colors import BLUE, CYCLE
from sinks.plotting.config import MetricConfig, PlotConfig, TrainingVisualizerConfig, validate
from sinks.plotting.layouts import ConfiguredLayout, common_label, custom_config, loss_config
from sinks.plotting.lines import color_of
from sinks.plotting.moe import MoeLayout, moe_config
from sinks.plotting.naming import is_validation, kind_of, trained_beside
from sinks.plotting.plan import HeatMap, Panel, Plan
from sinks.plotting.shown import drawn_names
from sinks.plotting.styles import STYLE_BY_NAME, Style


def names_in(panel: Panel) -> list[str]:
    return [series.name for series in panel.series]


def moe(names: list[str], n_experts: int | None = None) -> tuple[Panel, ...]:
    return MoeLayout(moe_config(), n_experts).plan(names).panels


def automatic(*names: str, **config: object) -> Plan:
    return AutomaticLayout(TrainingVisualizerConfig(**config)).plan(names)  # type: ignore[arg-type]


EXPERTS = [f"expert_{expert}" for expert in range(64)]


# -- as configured


def test_only_metrics_that_were_given_appear_and_keep_their_colours() -> None:
    config = TrainingVisualizerConfig(
        plots=[PlotConfig("A", "a")],
        metrics=[MetricConfig("x", 0), MetricConfig("y", 0, color="blue"), MetricConfig("z", 0)],
    )
    layout = ConfiguredLayout(config)
    assert names_in(layout.plan(["z", "other"]).panels[0]) == ["z"]
    [z] = layout.plan(["z"]).panels[0].series
    assert [series.color for series in layout.plan(["x", "y", "z"]).panels[0].series] == ["red", "blue", "green"]
    assert z.color == "green"


def test_the_cycle_begins_again() -> None:
    config = TrainingVisualizerConfig(
        plots=[PlotConfig("A", "a", color_cycle=["red", "blue"])], metrics=[MetricConfig(name, 0) for name in "abc"]
    )
    series = ConfiguredLayout(config).plan("abc").panels[0].series
    assert [each.color for each in series] == ["red", "blue", "red"]


def test_the_loss_layout() -> None:
    config = loss_config(50)
    validate(config)
    plan = ConfiguredLayout(config).plan(["train_loss", "val_loss", "learning_rate"])
    assert (plan.rows, plan.cols) == (1, 2)
    assert [(names_in(panel), panel.yscale) for panel in plan.panels] == [
        (["train_loss", "val_loss"], "log"),
        (["learning_rate"], "log"),
    ]
    train, val = plan.panels[0].series
    assert (train.color, val.color) == (BLUE, BLUE)
    assert (train.tone, val.tone) == (False, True)


def test_a_custom_config_is_what_the_document_says() -> None:
    config = custom_config(
        {"accuracy": (0, "blue"), "f1_score": (0, "red"), "learning_rate": (1, "green")},
        ["Classification Metrics", "Optimization"],
        (1, 2),
        75,
        "Custom Training Dashboard",
    )
    validate(config)
    assert (config.subplot_rows, config.subplot_cols, config.update_interval) == (1, 2, 75)
    assert [(metric.metric_name, metric.plot_index, metric.color) for metric in config.metrics] == [
        ("accuracy", 0, "blue"),
        ("f1_score", 0, "red"),
        ("learning_rate", 1, "green"),
    ]
    assert [plot.ylabel for plot in config.plots] == ["score", ""]
    assert {plot.yscale for plot in config.plots} == {"linear"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": 0}, ["A"], (1, 1)), r"metrics_config\['a'\] must be \(plot_index, color\)"),
        ((["a"], ["A"], (1, 1)), "metrics_config must map"),
        (({}, "A", (1, 1)), "plot_titles must be a list"),
        (({}, ["A"], 2), "subplot_layout must be"),
        (({}, ["A"], (1, 1.5)), r"subplot_layout\[1\] must be a whole number"),
    ],
)
def test_a_custom_config_that_cannot_be_read(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(TypeError, match=message):
        custom_config(*arguments)


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ([], ""),
        (["temperature"], ""),
        (["task1_loss", "task2_loss"], "loss"),
        (["task1_accuracy", "f1_score"], "score"),
        (["gpu_temp", "cpu_temp"], "temp"),
        (["a", "b"], "value"),
    ],
)
def test_what_names_have_in_common(names: list[str], label: str) -> None:
    assert common_label(names) == label


# -- Mixture of Experts


def test_the_moe_layout_as_documented() -> None:
    validate(moe_config())
    losses, task, experts, throughput = moe(
        [
            *("train_loss", "val_loss", "aux_loss", "learning_rate", "position_error", "expert_entropy"),
            *("load_balance", "samples_per_sec", "gpu_utilization", "gradient_norm"),
        ]
    )
    assert (names_in(losses), losses.yscale) == (["train_loss", "val_loss", "aux_loss"], "log")
    assert names_in(task) == ["position_error"]
    assert names_in(experts) == ["expert_entropy", "load_balance"]
    assert names_in(throughput) == ["samples_per_sec"]


def test_metrics_of_the_task_join_by_name_and_scores_have_their_own_axis() -> None:
    names = ["position_error", "f1_score", "x_rmse", "trajectory_smoothness", "val_position_error"]
    task = moe(names)[1]
    assert [(series.name, series.right) for series in task.series] == [
        ("position_error", False),
        ("f1_score", True),
        ("x_rmse", False),
        ("val_position_error", False),
    ]
    assert task.right is not None
    assert (task.ylabel, task.right.label, task.right.color) == ("error", "score", task.series[1].color)
    assert task.series[3].color == task.series[0].color
    assert [series.tone for series in task.series] == [False, False, False, True]


def test_scores_alone_need_no_right_hand_axis() -> None:
    task = moe(["accuracy", "f1_score"])[1]
    assert (task.ylabel, task.right) == ("score", None)


def test_without_n_experts_no_expert_is_drawn() -> None:
    experts = moe([*EXPERTS[:8], "expert_entropy", "load_balance"])[2]
    assert names_in(experts) == ["expert_entropy", "load_balance"]
    assert experts.heat_map is None


def test_a_dozen_experts_are_lines_by_number_with_their_fair_share() -> None:
    names = ["expert_10", "expert_2", "expert_entropy", "load_balance"]
    experts = moe(names, 12)[2]
    assert names_in(experts) == ["expert_2", "expert_10"]
    assert experts.fair_among == 12
    assert experts.ylabel == "load", "shares or counts: both are loads"
    assert experts.below is not None
    assert [(series.name, series.right) for series in experts.below.series] == [
        ("expert_entropy", False),
        ("load_balance", True),
    ]
    assert len({(series.color, series.style) for series in moe(EXPERTS[:12], 12)[2].series}) == 12


@pytest.mark.fault("E17")
@pytest.mark.parametrize(("n_experts", "given"), [(13, 5), (4, 13), (64, 64)])
def test_more_experts_are_a_heat_map(n_experts: int, given: int) -> None:
    experts = moe([*EXPERTS[:given], "expert_entropy"], n_experts)[2]
    assert experts.heat_map is not None
    assert [expert for expert, _ in experts.heat_map.experts] == list(range(given))
    assert experts.heat_map.among == max(n_experts, given)
    assert experts.series == ()


def test_tokens_have_the_right_hand_axis_only_beside_samples() -> None:
    both = moe(["samples_per_sec", "tokens_per_sec"])[3]
    assert [series.right for series in both.series] == [False, True]
    assert both.right is not None
    assert both.right.label == "tokens/s"
    tokens = moe(["tokens_per_sec"])[3]
    assert (tokens.ylabel, tokens.right) == ("tokens/s", None)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (True, TypeError), ("8", TypeError), (2.0, TypeError)])
def test_n_experts_that_is_no_number_of_experts(value: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="n_experts must be a whole number, 1 or more or None"):
        MoeLayout(moe_config(), value)


# -- without a configuration


def test_a_panel_for_each_kind_of_metric() -> None:
    plan = automatic(
        *("train_loss", "val_loss", "learning_rate", "train/accuracy", "val/accuracy", "samples_per_sec"),
        *("gradient_norm", "gpu_memory_mb", "temperature"),
    )
    assert [(panel.title, names_in(panel), panel.yscale) for panel in plan.panels] == [
        ("Loss", ["train_loss", "val_loss"], "log"),
        ("Score", ["train/accuracy", "val/accuracy"], "linear"),
        ("learning_rate", ["learning_rate"], "log"),
        ("gradient_norm", ["gradient_norm"], "log"),
        ("samples_per_sec", ["samples_per_sec"], "linear"),
        ("gpu_memory_mb", ["gpu_memory_mb"], "linear"),
        ("temperature", ["temperature"], "linear"),
    ]
    assert (plan.rows, plan.cols) == (3, 3)
    assert plan.panels[0].series[1].color == CYCLE[0]
    assert plan.panels[0].series[1].tone


def test_nothing_is_said_twice_of_a_panel() -> None:
    """A panel of one metric said its name three times, as title, in the legend and at the axis."""
    panels = automatic("loss_g", "loss_d", "fid", "learning_rate", "samples_per_sec").panels
    assert [(panel.title, panel.ylabel) for panel in panels] == [
        *(("Loss", ""), ("learning_rate", ""), ("samples_per_sec", "samples/s"), ("fid", "")),
    ]
    assert [panel.title for panel in automatic("val_reward", "reward").panels] == ["reward"]


def test_nine_panels_at_most_and_the_rest_is_named() -> None:
    plan = automatic(*(f"quantity{index}" for index in "abcdefghijk"))
    assert len(plan.panels) == 9
    assert plan.left_out == ("quantityj", "quantityk")


def test_a_grid_that_was_asked_for_is_kept() -> None:
    plan = automatic("a", "b", "c", subplot_rows=1, subplot_cols=2, figure_size=(9, 3))
    assert (plan.rows, plan.cols, plan.size, plan.left_out) == (1, 2, (9.0, 3.0), ("c",))


def test_no_metrics_make_one_empty_panel() -> None:
    plan = automatic()
    assert [panel.series for panel in plan.panels] == [()]


def test_experts_are_lines_or_a_heat_map_here_too() -> None:
    assert names_in(automatic(*EXPERTS[:4]).panels[0]) == EXPERTS[:4]
    assert automatic(*EXPERTS[:4]).panels[0].ylabel == "load"
    assert automatic(*EXPERTS).panels[0].heat_map is not None
    assert names_in(automatic("expert_entropy").panels[0]) == ["expert_entropy"]


# -- names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train_loss", "loss"),
        ("val/F1-score", "score"),
        ("position_rmse", "error"),
        ("perplexity", "perplexity"),
        ("lr", "learning rate"),
        ("grad_norm", "gradient"),
        ("tokens_per_sec", "throughput"),
        ("gpu_memory_mb", "memory"),
        ("cpu_percent", "utilization"),
        ("load_balance", "experts"),
        ("trajectory_smoothness", None),
        ("", None),
        ("мера", None),
    ],
)
def test_what_a_name_says(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_validation_finds_its_training_curve() -> None:
    assert trained_beside("val_loss", ["aux_loss", "train_loss", "val_loss"]) == "train_loss"
    assert trained_beside("val/loss", ["loss", "val/loss"]) == "loss"
    assert trained_beside("val_loss", ["aux_loss"]) is None
    assert trained_beside("train_loss", ["train_loss", "loss"]) is None


@pytest.mark.parametrize(
    ("validation", "training"),
    [
        ("val_x", "train_x"),
        ("x/val", "x/train"),
        ("eval_loss", "train_loss"),
        ("val_accuracy", "accuracy"),
        ("mse_test", "mse_train"),
        ("Loss.Validation", "loss"),
        ("dev-f1", "f1"),
    ],
)
def test_pairs_are_found_however_they_are_named(validation: str, training: str) -> None:
    assert trained_beside(validation, [validation, "other", training]) == training
    assert trained_beside(training, [validation, "other", training]) is None


@pytest.mark.parametrize("name", ["interval", "contest_score", "a_valve", "test", "train"])
def test_words_that_only_look_like_validation_are_none(name: str) -> None:
    assert not is_validation(name)


def test_configured_validation_has_the_tone_of_its_training_curve() -> None:
    plot = PlotConfig("A", "a")
    metrics = [MetricConfig("val_loss", 0), MetricConfig("train_loss", 0), MetricConfig("other", 0)]
    config = TrainingVisualizerConfig(plots=[plot], metrics=metrics)
    val, train, other = ConfiguredLayout(config).plan(["val_loss", "train_loss", "other"]).panels[0].series
    assert (val.color, val.tone, val.front) == ("blue", True, True)
    assert (train.color, train.tone, other.color) == ("blue", False, "red")


@pytest.mark.parametrize("style", STYLE_BY_NAME.values(), ids=STYLE_BY_NAME)
def test_several_curves_beside_one_training_curve_differ_and_the_first_has_its_tone(style: Style) -> None:
    names = ["train_loss", "val_loss", "test_loss", "eval_loss"]
    config = TrainingVisualizerConfig(plots=[PlotConfig("A", "a")], metrics=[MetricConfig(name, 0) for name in names])
    for series in (automatic(*names).panels[0].series, ConfiguredLayout(config).plan(names).panels[0].series):
        assert [each.tone for each in series] == [False, True, False, False]
        assert series[1].color == series[0].color
        assert len({color_of(each, style) for each in series}) == 4


def test_a_colour_that_the_user_gave_is_kept() -> None:
    named = [MetricConfig("train_loss", 0, color="purple"), MetricConfig("val_loss", 0, color="orange")]
    plain = [MetricConfig("train_loss", 0), MetricConfig("val_loss", 0)]
    for plot, metrics, colors in (
        (PlotConfig("A", "a"), named, ["purple", "orange"]),
        (PlotConfig("A", "a", color_cycle=["lime", "teal"]), plain, ["lime", "teal"]),
    ):
        series = ConfiguredLayout(TrainingVisualizerConfig(plots=[plot], metrics=metrics)).plan(
            ["train_loss", "val_loss"]
        )
        drawn = series.panels[0].series
        assert [each.color for each in drawn] == colors
        assert [(each.named, each.tone) for each in drawn] == [(True, False)] * 2


def test_memory_is_measured_in_the_unit_of_its_name_or_in_a_larger_one() -> None:
    memory = automatic("gpu_memory_mb").panels[0]
    assert (memory.ylabel, memory.larger) == ("MB", (1000.0, "GB"))
    assert automatic("cpu_memory_gib").panels[0].ylabel == "GiB"
    assert automatic("gpu_memory").panels[0].ylabel == ""


# -- experts by layer


@pytest.mark.parametrize("n_experts", [None, 8])
def test_layers_are_a_map_of_their_variation_over_the_balance_of_all(n_experts: int | None) -> None:
    overall = ["expert_entropy", "load_balance", "load_balance_worst", "dead_experts"]
    by_layer = ["load_cv/0", "dead_experts/0", "load_cv/head", "dead_experts/head"]
    panel = moe(["train_loss", *overall, *by_layer], n_experts)[2]
    assert panel.heat_map == HeatMap(
        (("0", "load_cv/0"), ("head", "load_cv/head")), 2, ("dead_experts/0", "dead_experts/head")
    )
    assert panel.ylabel == "layer"
    assert panel.below is not None
    assert [(each.name, each.label, each.right) for each in panel.below.series] == [
        ("load_balance", "mean of layers", False),
        ("load_balance_worst", "worst layer", False),
        ("dead_experts", "dead experts, all layers", True),
    ]
    assert drawn_names(Plan(1, 1, (6.0, 4.0), (panel,)))[:4] == [
        "load_cv/0",
        "load_cv/head",
        "dead_experts/0",
        "dead_experts/head",
    ]


def test_without_a_configuration_layers_share_one_panel() -> None:
    names = [f"{kind}/{layer}" for layer in range(100) for kind in ("load_cv", "dead_experts")]
    plan = automatic("train_loss", "load_balance", *names)
    assert [panel.title for panel in plan.panels] == ["train_loss", "Expert utilization"]
    assert plan.panels[1].heat_map is not None
    assert len(plan.panels[1].heat_map.experts) == 100
    assert plan.left_out == ()
