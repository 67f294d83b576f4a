using System.Collections.Concurrent;
using System.Net.Http;
using Tandem.Users.OpenId;

namespace Tandem.Users.Upstream;

/// <summary>The providers that the settings name. One is made for the first who wants it: a program without any, or whose people do not use it, loads nothing for it.</summary>
sealed class Providers(UsersOptions options, TimeProvider clock) : IDisposable
{
    /// <summary>In bytes: configurations and sets of keys have ten or twenty thousand.</summary>
    public const int MaxAnswer = 256 * 1024;

    readonly ConcurrentDictionary<string, Provider> _made = new(StringComparer.Ordinal);

    // The operator himself says where an issuer is, and in a company that is often the own network. Elsewhere a provider leads only where clients may.
    readonly Lazy<HttpClient> _http = new(() => new HttpClient(BackChannel.Handler(host => options.CallPrivateAddresses || options.Providers.Any(p => new Uri(p.Provider.Issuer).IdnHost == host)))
    {
        Timeout = Timeout.InfiniteTimeSpan,
        MaxResponseContentBufferSize = MaxAnswer,
    });

    /// <returns>Null when the settings name none such.</returns>
    public Provider? Find(string name) => options.Providers.FirstOrDefault(p => p.Name == name) is { Name: not null } known
        ? _made.GetOrAdd(known.Name, static (key, made) => new Provider(key, made.Provider, made.Http, made.Clock), (known.Provider, Http: _http.Value, Clock: clock))
        : null;

    public void Dispose()
    {
        if (_http.IsValueCreated)
            _http.Value.Dispose();
    }
}
