using Microsoft.Extensions.DependencyInjection;

namespace Tandem.Core.Adapters;

/// <summary>Puts a real server in the place of an embedded store, when the configuration names one.</summary>
public abstract class StoreAdapter
{
    /// <summary>Lower case: what the store is called where people read it and, capitalised, its configuration section.</summary>
    public abstract string Name { get; }

    /// <summary>
    /// True when it stands in for the database, which every process that runs on it then shares. Such adapters are added before the others, which
    /// may build on what they register.
    /// </summary>
    public virtual bool IsDatabase => false;

    /// <summary>Reads the section and, when it names a server, registers what stands in for the embedded store.</summary>
    /// <returns>False when no server is named: then no store was replaced.</returns>
    public abstract bool Add(StoreBuilder store);
}

/// <summary>A program that takes adapters; implemented by TandemApp.</summary>
public interface IStoreHost
{
    /// <summary>Adds an adapter. It runs only when its section names a server.</summary>
    void Use(StoreAdapter adapter);
}

/// <summary>What an adapter registers with.</summary>
public sealed class StoreBuilder
{
    readonly StoreAdapter _adapter;
    readonly Parts _parts;

    internal StoreBuilder(StoreAdapter adapter, IServiceCollection services, Parts parts) => (_adapter, Services, _parts) = (adapter, services, parts);

    /// <summary>The container's registrations; the embedded stores are in it already.</summary>
    public IServiceCollection Services { get; }

    /// <summary>Reads the adapter's section; see <see cref="ModuleBuilder.Options{T}()"/>.</summary>
    public T Options<T>() where T : class, new() => _parts.Settings.Read<T>(Services, char.ToUpperInvariant(_adapter.Name[0]) + _adapter.Name[1..]);

    /// <summary>Has the traces and metrics of a client library be collected with ours: the name of its ActivitySource and Meter.</summary>
    public void Observe(string source) => _parts.Observed.Add(source);

    /// <summary>Adds a check to <c>/health/ready</c>; see <see cref="ModuleBuilder.Ready"/>.</summary>
    public void Ready(string name, Func<IServiceProvider, CancellationToken, Task> check) => _parts.Checks.Add((name, check));
}
