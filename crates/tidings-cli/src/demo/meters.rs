//! What the process has used: CPU time and memory.

use rustix::time::{ClockId, clock_gettime};

/// CPU seconds of all threads so far, user and system.
pub(super) fn cpu_s() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// A memory figure of this process in bytes, where the system has `/proc`.
fn status(key: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

/// Resident memory now, in bytes.
pub(super) fn rss_bytes() -> Option<f64> {
    status("VmRSS")
}

/// The most resident memory so far, in bytes.
pub(super) fn peak_rss_bytes() -> Option<f64> {
    status("VmHWM")
}

#[cfg(test)]
mod tests {
    #[test]
    fn work_shows_in_the_cpu_clock() {
        let before = super::cpu_s();
        let mut x = 1_u64;
        while super::cpu_s() - before < 0.001 {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(super::cpu_s() > before);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_is_no_less_than_what_is_used_now() {
        let now = super::rss_bytes().unwrap();
        assert!(now > 0.0 && super::peak_rss_bytes().unwrap() >= now);
    }
}
