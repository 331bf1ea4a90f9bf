//! What a layer of a model reads: the residual stream in the middle of the model.

use super::{
    ModelError, Packed, Transformer,
    layers::{self, Context},
    ops,
};

impl Transformer {
    /// The residual stream before a layer, or after the last one, without the final norm: [tokens, width] end to end.
    pub fn states(&self, packed: &Packed, layer: usize) -> Result<Vec<f32>, ModelError> {
        packed.check(self.config().vocab_size(), &[0])?;
        let context = Context::new(self.config(), &packed.lengths);
        let mut hidden = ops::select_rows(self.variable(self.plan().embedding), &packed.ids)?;
        for plan in self.plan().layers.iter().take(layer) {
            hidden = layers::layer(self, plan, &context, &hidden, &mut Vec::new())?;
        }
        Ok(hidden.flatten_all()?.to_vec1()?)
    }
}
