"""A graph becomes a program of torch.export, and that one of operators that torch's ONNX exporter translates.

To have only such operators, the exporter traces a program again, twice, which takes far longer than all else. Of nearly
all operators it knows what to make: here the few others are replaced where they stand.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.fx.experimental import _config as fx_config

from xcodec import kernels
from xcodec.export.graphs import Graph

__all__ = ["names_of_sizes", "traced", "translated_in_place"]

aten = torch.ops.aten


def traced(graph: Graph) -> ExportedProgram:
    """Trace a graph for every size of its inputs' free dimensions.

    Raises:
        Exception: one of torch's many, where it does not know what the graph does.
    """
    # Sizes of 1 are as any other: else a clip of one code would be a case of its own, which the trace does not serve.
    any_size = fx_config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with torch.no_grad(), kernels.use(kernels.TORCH), any_size:
        return torch.export.export(
            graph,
            graph.examples(),
            dynamic_shapes=graph.dynamic_shapes,
            # What must hold between sizes is checked when it runs, rather than solved for them now.
            prefer_deferred_runtime_asserts_over_guards=True,
        )


def names_of_sizes(program: ExportedProgram, graph: Graph) -> dict[str, str]:
    """Tell what a graph calls the sizes that a program has symbols for."""
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    dimensions: list[Any] = []
    for given in graph.dynamic_shapes.values():
        dimensions += given if isinstance(given, tuple) else [given]
    names = {}
    for node, free in zip(inputs, dimensions, strict=True):
        for axis, dim in free.items():
            for symbol in node.meta["val"].shape[axis].node.expr.free_symbols:
                names[str(symbol)] = getattr(dim, "root", dim).__name__
    return names


def translated_in_place(program: ExportedProgram) -> ExportedProgram:
    """Let a program replace operators where they stand when it is next asked for decompositions, and return it.

    Where there are others to be decomposed than those that are known here, it does what it always does.
    """
    decomposed_by_tracing = program.run_decompositions

    def decomposed(table: Mapping[Any, Callable[..., Any]] | None = None, **given: Any) -> ExportedProgram:
        nodes = [node for node in program.graph.nodes if node.op == "call_function"]
        if not all(table is not None and is_known(node, table) for node in nodes):
            return decomposed_by_tracing(table, **given)
        for node in nodes:
            replace(node)
        program.graph_module.recompile()
        return program

    program.run_decompositions = decomposed
    return program


def is_known(node: Node, table: Mapping[Any, Any]) -> bool:
    """Tell whether an operator needs no decomposition, for which `table` has all that do, or can be replaced."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return not isinstance(node.target, torch._ops.OperatorBase)  # such an operator has graphs of its own
    if node.target._schema.is_mutable:
        found = functional(node.target)
        writes = found is not None and (found in REPLACED or found not in table) and is_seen_once(node.args[0])
        return writes or node.target is aten.detach_.default
    return node.target in REPLACED or node.target not in table


def is_seen_once(x: Any) -> bool:
    """Tell whether a tensor that is written over was made by an operator, and has no view that others read."""
    return (
        isinstance(x, Node)
        and x.op == "call_function"
        and not is_view(x)
        and not any(is_view(user) for user in x.users if user.op == "call_function")
    )


def is_view(node: Node) -> bool:
    """Tell whether what a node gives may lie where its input does."""
    if node.target is aten.to.dtype and node.meta["val"].dtype != node.all_input_nodes[0].meta["val"].dtype:
        return False
    if not isinstance(node.target, torch._ops.OpOverload):
        return True
    schema = node.target._schema
    return not schema.is_mutable and any(each.alias_info is not None for each in schema.returns)


def functional(target: torch._ops.OpOverload) -> torch._ops.OpOverload | None:
    """Find the operator that gives what this one writes over its first argument."""
    packet = getattr(aten, target._schema.name.removeprefix("aten::").removesuffix("_"), None)
    return getattr(packet, target._overloadname, None)


def replace(node: Node) -> None:
    """Put what the exporter translates in the place of an operator that it does not."""
    if node.target is aten.detach_.default:
        node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
        node.graph.erase_node(node)
        return
    if isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable:
        written = node.args[0]
        assert isinstance(written, Node), "as `is_known` has seen"
        written.replace_all_uses_with(node, delete_user_cb=lambda user: user is not node and user > node)
        node.target = functional(node.target)  # type: ignore[assignment]
    if node.target in REPLACED:
        REPLACED[node.target](node)


def becomes_copy(node: Node) -> None:
    """Replace a change of dtype that may be none by one that is one."""
    x, dtype, *_ = node.args
    node.target, node.args, node.kwargs = aten._to_copy.default, (x,), {"dtype": dtype}


def becomes_product(node: Node) -> None:
    """Replace a square by a product."""
    node.target, node.args = aten.mul.Tensor, (node.args[0], node.args[0])


REPLACED: dict[Any, Callable[[Node], None]] = {
    aten.to.dtype: becomes_copy,
    aten.square.default: becomes_product,
    aten._assert_tensor_metadata.default: lambda node: node.graph.erase_node(node),
}
