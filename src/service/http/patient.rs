//! Patience with those who ask and do not read: an answer is taken in time, or its connection ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream of which nothing may wait for the other side to read it for longer than `limit`.
///
/// The time runs from the first moment in which something cannot be written, until all of it has been: whoever takes an
/// answer byte by byte does not begin it anew.
pub struct Patient<S> {
    stream: S,
    limit: Duration,
    /// Runs while the other side is waited for.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer was not read in time")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write(context, bytes) {
            Poll::Pending => this.wait(context),
            done => done,
        }
    }

    /// Asked for once nothing is left to be written.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(context) {
            Poll::Pending => this.wait(context),
            done => {
                this.waiting = None;
                done
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_not_waited_for_longer_than_that() {
        let (here, _there) = duplex(16);
        let mut here = Patient::new(here, LIMIT);
        let begun = Instant::now();
        let error = here.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_does_not_begin_it_anew() {
        let (here, mut there) = duplex(16);
        let mut here = Patient::new(here, LIMIT);
        let reader = tokio::spawn(async move {
            let mut byte = [0];
            while there.read_exact(&mut byte).await.is_ok() {
                sleep(Duration::from_secs(10)).await;
            }
        });
        let begun = Instant::now();
        assert_eq!(here.write_all(&[0; 64]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed().as_secs() < 75, "{:?}", begun.elapsed());
        drop(here);
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_the_time_for_itself() {
        let (here, mut there) = duplex(16);
        let mut here = Patient::new(here, LIMIT);
        let reader = tokio::spawn(async move {
            let mut answer = [0; 64];
            for _ in 0..3 {
                sleep(Duration::from_secs(50)).await;
                there.read_exact(&mut answer).await.unwrap();
            }
        });
        for _ in 0..3 {
            here.write_all(&[0; 64]).await.unwrap();
            here.flush().await.unwrap();
        }
        reader.await.unwrap();
    }
}
