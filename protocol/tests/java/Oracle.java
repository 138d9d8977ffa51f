import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.ConsumerProtocolAssignment;
import org.apache.kafka.common.message.ConsumerProtocolSubscription;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;

/**
 * Answers, with Kafka's own classes, what the bytes of a message are.
 *
 * Question: what (u8), key (i16), version (i16), length (i32), bytes. A length of -1 asks for the default.
 * Answer: ok (u8), length (i32), bytes; or not ok and a text.
 */
public final class Oracle {
    private static final int REQUEST = 0;
    private static final int RESPONSE = 1;
    private static final int SUBSCRIPTION = 2;
    private static final int ASSIGNMENT = 3;
    private static final int HEADER = 4;
    private static final int ERRORS = 5;

    public static void main(String[] arguments) throws IOException {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        while (true) {
            int what;
            try {
                what = in.readUnsignedByte();
            } catch (EOFException end) {
                break;
            }
            short key = in.readShort();
            short version = in.readShort();
            int length = in.readInt();
            byte[] bytes = length < 0 ? null : in.readNBytes(length);
            byte[] answer;
            boolean ok = true;
            try {
                answer = answer(what, key, version, bytes);
            } catch (RuntimeException error) {
                ok = false;
                answer = error.toString().getBytes(StandardCharsets.UTF_8);
            }
            out.writeByte(ok ? 1 : 0);
            out.writeInt(answer.length);
            out.write(answer);
        }
        out.flush();
    }

    private static byte[] answer(int what, short key, short version, byte[] bytes) {
        switch (what) {
            case HEADER:
                return header(key, version);
            case ERRORS:
                return errors();
            default:
                Message message = empty(what, key);
                if (bytes != null) {
                    ByteBuffer buffer = ByteBuffer.wrap(bytes);
                    message.read(new ByteBufferAccessor(buffer), version);
                    if (buffer.hasRemaining()) {
                        throw new IllegalStateException(buffer.remaining() + " bytes left over");
                    }
                }
                return written(message, version);
        }
    }

    private static Message empty(int what, short key) {
        switch (what) {
            case REQUEST:
                return ApiMessageType.fromApiKey(key).newRequest();
            case RESPONSE:
                return ApiMessageType.fromApiKey(key).newResponse();
            case SUBSCRIPTION:
                return new ConsumerProtocolSubscription();
            case ASSIGNMENT:
                return new ConsumerProtocolAssignment();
            default:
                throw new IllegalArgumentException("no question " + what);
        }
    }

    /** The versions of both headers, and a request header. */
    private static byte[] header(short key, short version) {
        ApiMessageType api = ApiMessageType.fromApiKey(key);
        short request = api.requestHeaderVersion(version);
        RequestHeaderData header = new RequestHeaderData()
            .setRequestApiKey(key)
            .setRequestApiVersion(version)
            .setCorrelationId(7)
            .setClientId("client");
        byte[] bytes = written(header, request);
        return ByteBuffer.allocate(4 + bytes.length)
            .putShort(request)
            .putShort(api.responseHeaderVersion(version))
            .put(bytes)
            .array();
    }

    /** A line per error: code, name, whether clients try again. */
    private static byte[] errors() {
        StringBuilder lines = new StringBuilder();
        for (Errors error : Errors.values()) {
            boolean retriable = error.exception() instanceof RetriableException;
            lines.append(error.code()).append(' ').append(error.name()).append(' ').append(retriable).append('\n');
        }
        return lines.toString().getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] written(Message message, short version) {
        ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }
}
