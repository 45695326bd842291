package io.cairnlog.examples;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.cairnlog.CairnStore;
import io.cairnlog.Consumer;
import io.cairnlog.ConsumerOptions;
import io.cairnlog.Delivery;
import io.cairnlog.Message;
import java.nio.file.Path;
import java.time.Duration;

/** Consumes as a member of a group, which remembers how far it has come. */
public final class ConsumeGroup {
  private ConsumeGroup() {}

  /**
   * Runs the example.
   *
   * @param arguments the store's directory
   */
  public static void main(String[] arguments) {
    ConsumerOptions options =
        ConsumerOptions.builder("billing").subscribe("orders").startFromFirst().build();
    try (CairnStore store = CairnStore.open(Path.of(arguments[0]));
        Consumer consumer = store.groups().consumer(options)) {
      store.append(Message.of("orders", "20 pears".getBytes(UTF_8)));
      for (Delivery delivery : consumer.poll(32, Duration.ofSeconds(10))) {
        System.out.println(new String(delivery.message().body(), UTF_8));
        consumer.acknowledge(delivery);
      }
      System.out.println(store.groups().progress("billing").get(0).lag() + " to go");
    }
  }
}
