/**
 * The storage engine of Apache RocketMQ inside your own program: a durable, very fast commit log.
 *
 * <p>One store is one directory. {@link io.cairnlog.CairnStore#open(java.nio.file.Path,
 * io.cairnlog.StoreOptions)} recovers what is there, {@link
 * io.cairnlog.CairnStore#append(io.cairnlog.Message)} adds a message and returns when it is as safe
 * as the store's {@link io.cairnlog.FlushMode} promises, {@link io.cairnlog.CairnStore#scan(long)}
 * reads it back. Every failure is a {@link io.cairnlog.CairnException} with a {@link
 * io.cairnlog.Status}.
 */
package io.cairnlog;
