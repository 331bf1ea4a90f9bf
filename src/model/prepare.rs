//! Settings of the process that the kernels run better with.

/// Tunes the process for training: call it first thing in `main`, before any other thread starts.
///
/// Candle's own pool of spinning threads would compete with the pool that computes the parts of a batch, so it is
/// turned off (unless the environment already says how many threads it has); and large temporaries are kept by the
/// allocator instead of being given back to the system and faulted in again page by page. Results do not depend on it.
#[expect(unsafe_code, reason = "the environment is changed, and the C allocator tuned, before there are other threads")]
pub fn prepare() {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: by contract no other thread runs yet, so none reads the environment meanwhile.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        const TRIM_THRESHOLD: i32 = -1;
        const TOP_PAD: i32 = -2;
        const MMAP_THRESHOLD: i32 = -3;
        for (parameter, value) in [(MMAP_THRESHOLD, 1 << 30), (TRIM_THRESHOLD, i32::MAX), (TOP_PAD, 64 << 20)] {
            // SAFETY: mallopt takes two numbers and touches no memory of ours; these parameters are those of glibc.
            unsafe { mallopt(parameter, value) };
        }
    }
}
