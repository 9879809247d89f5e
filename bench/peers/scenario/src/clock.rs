use std::time::{Duration, Instant};

/// A Clock sums up what measured pieces of work take.
#[derive(Default)]
pub struct Clock {
    /// CPU time of all threads of the process.
    pub cpu: Duration,
    pub wall: Duration,
}

impl Clock {
    pub fn measure<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (cpu, start) = (cpu_time(), Instant::now());
        let result = work();
        self.wall += start.elapsed();
        self.cpu += cpu_time() - cpu;
        result
    }
}

fn cpu_time() -> Duration {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Safe: t is valid, and the clock exists.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    assert_eq!(result, 0);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}
