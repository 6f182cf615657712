"""The kernels under the drivers: compiled ones, or their meaning in NumPy without the JIT."""

from fastrnn.kernels import jit

if jit.DISABLED:
    from fastrnn.kernels.plain import (
        array_at,
        clear_behind,
        column_sums,
        copy,
        early_forward,
        fill_rows,
        flush_denormals,
        gather,
        gradient_norm,
        is_zero,
        late_backward,
        pack,
        pack_gates,
        pack_steps,
        product,
        product_unpacked,
        restore_denormals,
        scan_backward,
        scan_forward,
        scan_row,
        scatter_add,
        sealed,
        sigmoid_cross_entropy,
        softmax_cross_entropy,
        squared_error,
        sum_of_squares,
        tuple_at,
        update,
    )
    from fastrnn.kernels.plain_dense import (
        activate,
        add_dots,
        add_row,
        advance,
        decay,
        descend,
        descend_row,
        fold_dots,
        matvec,
        retreat,
        retreat_rows,
        slope,
        softmax_columns,
        softmax_rows,
        subtract_one_hot,
        vecmat,
    )
else:
    import fastrnn.simd.math  # gives the equations' functions their form on vectors
    from fastrnn.kernels.dense import (
        activate,
        add_dots,
        decay,
        fold_dots,
        slope,
        softmax_columns,
    )

    # Their plain forms take arrays.
    from fastrnn.kernels.late import early_forward, late_backward  # type: ignore[assignment]
    from fastrnn.kernels.loss import (
        sigmoid_cross_entropy,
        softmax_cross_entropy,
        softmax_rows,
        squared_error,
        subtract_one_hot,
    )
    from fastrnn.kernels.matvec import (
        add_row,
        advance,
        descend,
        descend_row,
        matvec,
        retreat,
        retreat_rows,
        vecmat,
    )
    from fastrnn.kernels.panels import clear_behind, pack, pack_gates, pack_steps
    from fastrnn.kernels.product import (
        column_sums,
        copy,
        fill_rows,
        is_zero,
        product,
        product_unpacked,
    )
    from fastrnn.kernels.row import scan_row
    from fastrnn.kernels.scan import scan_backward, scan_forward
    from fastrnn.kernels.seal import sealed
    from fastrnn.kernels.tokens import gather, scatter_add
    from fastrnn.kernels.update import gradient_norm, sum_of_squares, update
    from fastrnn.simd.denormals import flush_denormals, restore_denormals
    from fastrnn.simd.handles import array_at, tuple_at

__all__ = [
    "activate",
    "add_dots",
    "add_row",
    "advance",
    "array_at",
    "clear_behind",
    "column_sums",
    "copy",
    "decay",
    "descend",
    "descend_row",
    "early_forward",
    "fill_rows",
    "flush_denormals",
    "fold_dots",
    "gather",
    "gradient_norm",
    "is_zero",
    "late_backward",
    "matvec",
    "pack",
    "pack_gates",
    "pack_steps",
    "product",
    "product_unpacked",
    "restore_denormals",
    "retreat",
    "retreat_rows",
    "scan_backward",
    "scan_forward",
    "scan_row",
    "scatter_add",
    "sealed",
    "sigmoid_cross_entropy",
    "slope",
    "softmax_columns",
    "softmax_cross_entropy",
    "softmax_rows",
    "squared_error",
    "subtract_one_hot",
    "sum_of_squares",
    "tuple_at",
    "update",
    "vecmat",
]
