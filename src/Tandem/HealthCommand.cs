using System.CommandLine;
using Tandem.Core.Configuration;

namespace Tandem;

/// <summary><c>tandem health</c>: asks a running server whether it is ready; images have no curl to ask with.</summary>
static class HealthCommand
{
    static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    public static Command Make(TandemApp app)
    {
        var url = new Option<string?>("--url") { Description = "What to ask (default: /health/ready of the address in Urls)" };
        var command = new Command("health", "Ask a running server whether it is ready; exit code 1 when it is not") { url };
        command.SetAction(async (parsed, ct) =>
        {
            var text = parsed.GetValue(url);
            Uri? asked = null;
            if (text is not null && !(Uri.TryCreate(text, UriKind.Absolute, out asked) && asked.Scheme is ("http" or "https")))
                throw new ConfigurationException($"\"{text}\" is no address; write it like {ServerOptions.DefaultUrls}/health/ready.");
            asked ??= Ready(app.Server.Urls);
            using var http = new HttpClient { Timeout = Timeout };
            try
            {
                using var response = await http.GetAsync(asked, ct);
                await parsed.InvocationConfiguration.Output.WriteLineAsync(await response.Content.ReadAsStringAsync(ct));
                return response.IsSuccessStatusCode ? 0 : 1;
            }
            catch (HttpRequestException e)
            {
                throw new IOException($"{asked} does not answer: {e.Message}", e);
            }
            catch (TaskCanceledException e) when (!ct.IsCancellationRequested)
            {
                throw new IOException($"{asked} did not answer within {Timeout.TotalSeconds} seconds.", e);
            }
        });
        return command;
    }

    /// <summary>A server that listens on all addresses is asked on this machine's own.</summary>
    static Uri Ready(string urls)
    {
        var first = new UriBuilder(urls.Split(';')[0].Trim().Replace("//*", "//localhost").Replace("//+", "//localhost")) { Path = "/health/ready" };
        first.Host = first.Host is "0.0.0.0" or "[::]" ? "localhost" : first.Host;
        return first.Uri;
    }
}
