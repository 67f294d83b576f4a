using Microsoft.Extensions.Logging;

namespace Tandem.Inference;

/// <summary>Every log line of the inference module: 3000–3099.</summary>
static partial class Log
{
    [LoggerMessage(3001, LogLevel.Information, "Model {Name}, version {Version}, serves ({Milliseconds:0} ms to load)")]
    public static partial void ModelServes(this ILogger logger, string name, long version, double milliseconds);

    [LoggerMessage(3002, LogLevel.Error, "Model {Name}, version {Version}, cannot serve: {Reason}. Train it again; {Fallback}")]
    public static partial void ModelUnusable(this ILogger logger, string name, long version, string reason, string fallback, Exception e);

    [LoggerMessage(3003, LogLevel.Warning, "The list of models could not be read; those that are loaded go on serving")]
    public static partial void ModelsNotRead(this ILogger logger, Exception e);

    [LoggerMessage(3004, LogLevel.Information, "The list of models is read again")]
    public static partial void ModelsReadAgain(this ILogger logger);
}
