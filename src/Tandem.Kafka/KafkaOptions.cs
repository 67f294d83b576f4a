using System.ComponentModel.DataAnnotations;

namespace Tandem.Kafka;

/// <summary>Settings of the event log on Kafka, section <c>Kafka</c>.</summary>
public sealed class KafkaOptions
{
    /// <summary>Brokers to ask first, <c>host:port</c> separated by commas. Default none: the log stays in the database.</summary>
    public string? BootstrapServers { get; set; }

    /// <summary>In front of the topic's and the consumer groups' names: the topic is <c>PREFIX.events</c>. Default <c>tandem</c>.</summary>
    [Required, TopicPrefix]
    public string TopicPrefix { get; set; } = "tandem";

    /// <summary>Partitions of the topic: so many processes share the work of one consumer. It must not change once events are in it. Default 12; 1 to 1000.</summary>
    [Range(1, 1000)]
    public int Partitions { get; set; } = 12;

    /// <summary>Copies of the topic, when the program creates it. Default 0: what the brokers have as their default; up to 9.</summary>
    [Range(0, 9)]
    public int ReplicationFactor { get; set; }

    /// <summary>Plaintext (default), Ssl, SaslPlaintext or SaslSsl.</summary>
    [AllowedValues("Plaintext", "Ssl", "SaslPlaintext", "SaslSsl")]
    public string SecurityProtocol { get; set; } = "Plaintext";

    /// <summary>Plain, ScramSha256 or ScramSha512. Default none.</summary>
    [AllowedValues(null, "Plain", "ScramSha256", "ScramSha512")]
    public string? SaslMechanism { get; set; }

    /// <summary>Who signs in at the brokers. Default nobody.</summary>
    public string? SaslUsername { get; set; }

    /// <summary>The password of SaslUsername.</summary>
    public string? SaslPassword { get; set; }

    /// <summary>File with the certificates of the authorities that the brokers' certificates come from. Default the system's.</summary>
    public string? SslCaLocation { get; set; }

    /// <summary>File with this program's own certificate, where brokers ask for one. Default none.</summary>
    public string? SslCertificateLocation { get; set; }

    /// <summary>File with the key of SslCertificateLocation.</summary>
    public string? SslKeyLocation { get; set; }

    /// <summary>The password of SslKeyLocation.</summary>
    public string? SslKeyPassword { get; set; }

    /// <summary>Any other setting of librdkafka by its own name, such as <c>client.rack</c>; what delivery and order depend on is not to be had here.</summary>
    public Dictionary<string, string> Client { get; set; } = [];
}

/// <summary>Letters, digits, dots, dashes and underscores, 1 to 200: what Kafka takes in a topic's name, with room for ours behind it.</summary>
sealed class TopicPrefixAttribute : ValidationAttribute
{
    public TopicPrefixAttribute() => ErrorMessage = "must be 1 to 200 letters, digits, dots, dashes or underscores";

    public override bool IsValid(object? value) =>
        value is string { Length: >= 1 and <= 200 } prefix && prefix.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-');
}
