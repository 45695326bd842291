import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONArray;
import com.alibaba.fastjson2.JSONObject;
import com.alibaba.fastjson2.JSONWriter;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.rocketmq.filter.FilterFactory;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;
import org.apache.rocketmq.filter.parser.SelectorParser;
import org.apache.rocketmq.filter.parser.SelectorParserConstants;

/** Prints the table in a file again, with the answers of the RocketMQ in the class path. */
public final class StockFilter {
    private record Properties(Map<String, Object> keyValues) implements EvaluationContext {
        @Override
        public Object get(String name) {
            return keyValues.get(name);
        }
    }

    private static String answer(Expression expression, EvaluationContext properties) {
        try {
            Object value = expression.evaluate(properties);
            return value == null ? "N" : (Boolean) value ? "T" : "F";
        } catch (Throwable thrown) {
            return "E";
        }
    }

    /** Whether the parser stops at a complete condition and something stands behind it. */
    private static boolean ignoresTheRest(String expression) {
        var parser = new SelectorParser(new StringReader(expression));
        try {
            parser.JmsSelector();
        } catch (Throwable thrown) {
            return false;
        }
        try {
            return parser.getNextToken().kind != SelectorParserConstants.EOF;
        } catch (Throwable thrown) {
            return true;
        }
    }

    private static JSONArray row(String text, JSONArray properties) {
        JSONArray row = JSONArray.of(text);
        try {
            Expression expression = FilterFactory.INSTANCE.get("SQL92").compile(text);
            row.add(properties.stream()
                .map(set -> answer(expression, new Properties((JSONObject) set)))
                .collect(Collectors.joining()));
        } catch (Throwable thrown) {
            row.add("illegal");
        }
        if (ignoresTheRest(text)) {
            row.add("the rest is ignored");
        }
        return row;
    }

    private static String lines(Stream<?> values) {
        return values
            .map(value -> JSON.toJSONString(value, JSONWriter.Feature.EscapeNoneAscii))
            .collect(Collectors.joining(",\n"));
    }

    public static void main(String[] arguments) throws Exception {
        JSONObject table = JSON.parseObject(Files.readString(Path.of(arguments[0])));
        JSONArray properties = table.getJSONArray("properties");
        Stream<JSONArray> rows = table.getJSONArray("answers").stream()
            .map(row -> row(((JSONArray) row).getString(0), properties));
        System.out.println("{\n\"properties\": [\n" + lines(properties.stream()) + "\n],");
        System.out.println("\"answers\": [\n" + lines(rows) + "\n]\n}");
    }
}
