/*
 * A filter by an SQL92 expression over properties, as a broker sets it up.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
package io.cairnlog.stock;

import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;

import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.filter.FilterFactory;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;
import org.apache.rocketmq.store.ConsumeQueueExt;
import org.apache.rocketmq.store.MessageFilter;

/** Lets RocketMQ compile and evaluate the expression; what is not true does not match. */
final class PropertyFilter implements MessageFilter {
    private final Expression expression;

    PropertyFilter(String text) throws Exception {
        expression = FilterFactory.INSTANCE.get("SQL92").compile(text);
    }

    @Override
    public boolean isMatchedByConsumeQueue(Long tagsCode, ConsumeQueueExt.CqExtUnit unit) {
        return true;
    }

    @Override
    public boolean isMatchedByCommitLog(ByteBuffer record, Map<String, String> properties) {
        Map<String, String> decoded = MessageDecoder.decodeProperties(record);
        try {
            return Boolean.TRUE.equals(expression.evaluate(new Context(decoded)));
        } catch (Exception e) {
            // So does a broker: it logs the failure and leaves the message out.
            return false;
        }
    }

    /** Properties under the interface the expression asks. */
    private static final class Context implements EvaluationContext {
        private final Map<String, String> properties;

        Context(Map<String, String> properties) {
            this.properties = properties == null ? Map.of() : properties;
        }

        @Override
        public Object get(String name) {
            return properties.get(name);
        }

        @Override
        public Map<String, Object> keyValues() {
            return new HashMap<>(properties);
        }
    }
}
