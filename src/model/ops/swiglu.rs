//! The gated activation `silu(gate) · up`, on rows that hold the gate's numbers and then the up projection's.

use super::math::sigmoid;

/// `out = silu(gate) · up`, where each row of `gate_up` holds `inner` numbers of the gate and then `inner` of
/// the up projection.
pub fn forward(gate_up: &[f32], out: &mut [f32], inner: usize) {
    for (row, out) in gate_up.chunks_exact(2 * inner).zip(out.chunks_exact_mut(inner)) {
        let (gate, up) = row.split_at(inner);
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid(*gate) * up;
        }
    }
}

/// Replaces the rows of `gate_up` by their gradients, given the gradients of the activations; and the gradients of the
/// activations by the activations themselves, which the gradient of the next weight needs.
pub fn backward(gate_up: &mut [f32], activations: &mut [f32], inner: usize) {
    for (row, activations) in gate_up.chunks_exact_mut(2 * inner).zip(activations.chunks_exact_mut(inner)) {
        let (gate, up) = row.split_at_mut(inner);
        for ((gate, up), activation) in gate.iter_mut().zip(up).zip(activations) {
            let (g, u, gradient) = (*gate, *up, *activation);
            let s = sigmoid(g);
            let silu = g * s;
            *gate = gradient * u * s * (1.0 + g - silu);
            *up = gradient * silu;
            *activation = silu * u;
        }
    }
}
