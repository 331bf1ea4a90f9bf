//! Losses that are worked out number by number: the value and the slopes go into the graph as they are.

use candle_core::Tensor;

use crate::model::ModelError;

/// A scalar worth `value` whose derivative by each of some numbers is the given slope.
///
/// The numbers must have the shape `[slopes]`; the value is rounded to f32, the slopes are not touched.
pub fn with_slopes(numbers: &Tensor, slopes: Vec<f32>, value: f64) -> Result<Tensor, ModelError> {
    let slopes = Tensor::from_vec(slopes, numbers.shape(), numbers.device())?;
    let linear = (numbers * slopes)?.sum_all()?;
    let offset = value - f64::from(linear.to_scalar::<f32>()?);
    Ok((linear + offset)?)
}

/// `1 / (1 + exp(-x))`
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let power = x.exp();
        power / (1.0 + power)
    }
}

/// The logarithm of [`sigmoid`], exact far from nought as well.
#[must_use]
pub fn log_sigmoid(x: f64) -> f64 {
    if x >= 0.0 { -(-x).exp().ln_1p() } else { x - x.exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logistic_function_is_itself_near_and_far() {
        for x in [-3.0_f64, -0.5, 0.0, 0.7, 4.0] {
            let plain = 1.0 / (1.0 + (-x).exp());
            assert!((sigmoid(x) - plain).abs() < 1e-15);
            assert!((log_sigmoid(x) - plain.ln()).abs() < 1e-14);
        }
        assert_eq!((log_sigmoid(-800.0), log_sigmoid(800.0)), (-800.0, 0.0));
        assert_eq!((sigmoid(-800.0), sigmoid(800.0)), (0.0, 1.0));
    }
}
