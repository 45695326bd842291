package io.cairnlog;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A member of a group whose messages go to a listener; usable and closable from any thread.
 *
 * <p>Its daemon threads work until it or its store is closed, also when nobody refers to it any
 * more. It stays in the group until the last call of the listener has ended.
 */
public final class PushConsumer implements AutoCloseable {
  /** One poll; the longest time until a thread notices that it is to end. */
  private static final Duration POLL = Duration.ofMillis(100);

  private static final long PAUSE_AFTER_ERROR_MS = 1000;

  private final Consumer consumer;
  private final MessageListener listener;
  private final int maxBatch;
  private final List<Thread> threads = new ArrayList<>();
  private final AtomicInteger running;
  private final CountDownLatch stopping = new CountDownLatch(1);

  private PushConsumer(Consumer consumer, MessageListener listener, PushOptions options) {
    this.consumer = consumer;
    this.listener = listener;
    this.maxBatch = options.maxBatch();
    this.running = new AtomicInteger(options.threads());
    for (int number = 0; number < options.threads(); number++) {
      Thread thread =
          new Thread(this::run, "cairnlog-consume-" + consumer.group() + "-" + number);
      thread.setDaemon(true);
      threads.add(thread);
    }
  }

  static PushConsumer start(
      CairnStore store, ConsumerOptions options, PushOptions push, MessageListener listener) {
    Objects.requireNonNull(listener, "listener");
    push.check();
    PushConsumer consumer =
        new PushConsumer(store.groups().consumer(options), listener, push);
    int started = 0;
    try {
      for (Thread thread : consumer.threads) {
        thread.start();
        started++;
      }
      return consumer;
    } catch (Throwable failure) {
      // The machine has no thread left: those that run end, and with the last the membership.
      consumer.stopping.countDown();
      consumer.ended(push.threads() - started);
      throw failure;
    }
  }

  /**
   * Returns the member that is consuming; callable from any thread. Polling it takes messages away
   * from the listener, and closing it ends this consumer.
   *
   * @return the member
   */
  public Consumer consumer() {
    return consumer;
  }

  /**
   * Says, from any thread, whether this consumer was closed or its store was.
   *
   * @return whether it has left the group
   */
  public boolean isClosed() {
    return consumer.isClosed();
  }

  /**
   * Lets the calls of the listener end, and leaves the group. From another thread it returns when
   * that is done; an interrupt does not hurry it, and stays.
   *
   * <p>Called from inside the listener it returns at once, and the group is left when the last call
   * has ended.
   */
  @Override
  public void close() {
    stopping.countDown();
    if (threads.contains(Thread.currentThread())) {
      return;
    }
    boolean interrupted = false;
    for (Thread thread : threads) {
      while (thread.isAlive()) {
        try {
          thread.join();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void run() {
    try {
      while (stopping.getCount() > 0) {
        serve();
        // An interrupt that the listener left behind would end each poll at once.
        Thread.interrupted();
      }
    } catch (StoreClosedException closed) {
      // Consumer or store: there is nothing to come.
    } finally {
      ended(1);
    }
  }

  private void ended(int count) {
    if (count > 0 && running.addAndGet(-count) == 0) {
      consumer.close();
    }
  }

  private void serve() {
    try {
      List<Delivery> deliveries = consumer.poll(maxBatch, POLL);
      if (!deliveries.isEmpty()) {
        answer(deliveries, ask(deliveries));
      }
    } catch (StoreClosedException closed) {
      throw closed;
    } catch (Throwable failure) {
      Diagnostics.report("messages of group " + consumer.group() + " cannot be read", failure);
      pause();
    }
  }

  private ConsumeStatus ask(List<Delivery> deliveries) {
    try {
      return Objects.requireNonNull(listener.consume(deliveries), "the listener's answer");
    } catch (Throwable failure) {
      Diagnostics.report("a listener of group " + consumer.group() + " failed", failure);
      return ConsumeStatus.RETRY_LATER;
    }
  }

  private void answer(List<Delivery> deliveries, ConsumeStatus status) {
    for (Delivery delivery : deliveries) {
      if (status == ConsumeStatus.SUCCESS) {
        consumer.acknowledge(delivery);
        continue;
      }
      try {
        consumer.retryLater(delivery);
      } catch (StoreClosedException closed) {
        throw closed;
      } catch (CairnException failure) {
        // It stays in hand, and is handed out again when its time is over.
        String group = consumer.group();
        Diagnostics.report("a message of group " + group + " cannot be sent back", failure);
      }
      if (consumer.isOrderly()) {
        // Those behind it were given back together with it.
        return;
      }
    }
  }

  private void pause() {
    try {
      stopping.await(PAUSE_AFTER_ERROR_MS, TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      // Nobody interrupts this thread for a purpose; the poll that follows fails again, or not.
      Thread.yield();
    }
  }
}
