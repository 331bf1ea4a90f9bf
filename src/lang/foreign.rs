//! What other tools and languages call things, and what they are called here.

/// What takes the place of an argument of another tool, where a stage has it: the name, or how it is written.
pub(super) fn argument(name: &str, has: impl Fn(&str) -> bool) -> Option<String> {
    let (ours, written) = match name {
        "learning_rate" | "peak_lr" | "step_size" => ("lr", ""),
        "epochs" | "n_epochs" | "num_epochs" | "num_train_epochs" => ("budget", "budget = 2 epochs"),
        "steps" | "max_steps" | "num_steps" | "iterations" => ("budget", "budget = 100 steps"),
        "tokens" | "max_train_tokens" => ("budget", "budget = 20M tokens"),
        "batch_size" | "train_batch_size" | "per_device_train_batch_size" => ("batch", ""),
        "warmup" | "warmup_steps" | "warmup_ratio" | "lr_scheduler_type" | "scheduler" => {
            ("lr", "lr = cosine(1e-3 to 1e-4, warmup = 10 steps)")
        }
        "max_tokens" | "max_new_tokens" | "max_completion_length" | "max_seq_length" | "response_length" => {
            ("max_length", "max_length = 512 tokens")
        }
        "num_generations" | "group_size" | "rollouts" => ("group", ""),
        "samples" | "num_samples" | "num_return_sequences" | "best_of" if has("n") => ("n", ""),
        "n" | "num_samples" | "num_return_sequences" => ("samples", ""),
        "max_grad_norm" | "grad_clip" => ("clip", ""),
        "kl_coef" | "kl_coefficient" => ("kl", ""),
        "reward_funcs" | "reward_fn" | "reward_function" => ("reward", "reward = accuracy + format"),
        "hidden_size" | "d_model" | "width" => ("hidden", ""),
        "num_hidden_layers" | "num_layers" | "n_layers" | "depth" => ("layers", ""),
        "vocab_size" => ("vocab", ""),
        "random_state" | "rng" => ("seed", ""),
        _ => return None,
    };
    has(ours).then(|| match written {
        "" => format!("here it is called `{ours}`"),
        written => format!("here it is written `{written}`"),
    })
}

/// What takes the place of a word that is a value elsewhere.
pub(super) fn value(name: &str) -> Option<&'static str> {
    Some(match name {
        "True" | "TRUE" | "yes" | "on" => "true",
        "False" | "FALSE" | "no" | "off" => "false",
        "None" | "null" | "nil" | "Null" | "NULL" | "undefined" => "none",
        _ => return None,
    })
}

/// What takes the place of a type of another language.
pub(super) fn ty(name: &str) -> Option<&'static str> {
    Some(match name {
        "number" | "double" | "real" | "f32" | "f64" => "float",
        "integer" | "uint" | "usize" | "i32" | "i64" | "u32" | "u64" => "int",
        "string" | "String" | "text" | "Text" | "char" => "str",
        "boolean" | "Boolean" | "Bool" => "bool",
        "List" | "array" | "Array" | "Vec" | "set" | "tuple" => "list",
        "file" | "File" | "Path" | "folder" => "path",
        "Data" | "data" | "dataset" => "Dataset",
        "duration" | "time" => "seconds",
        _ => return None,
    })
}

/// How to write what a function of another language would give.
pub(super) fn function(name: &str) -> Option<&'static str> {
    Some(match name {
        "range" => "a range is written `1..3`, both ends included",
        "list" | "tuple" | "set" | "array" => "a list is written `[a, b]`",
        "cos" | "cosine_schedule" | "warmup" | "constant" | "decay" | "exponential" | "poly" | "wsd" => {
            "a curve is `cosine(1e-3 to 1e-4, warmup = 10 steps)` or `linear(1e-3 to 1e-4)`; a constant is a bare number"
        }
        "int" | "float" | "str" | "len" | "max" | "min" | "sum" | "print" | "open" => {
            "a recipe has no functions but stages; `regimen doc` lists them"
        }
        _ => return None,
    })
}
