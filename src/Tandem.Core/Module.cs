using System.CommandLine;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Tandem.Core.Configuration;
using Tandem.Core.Data;
using Tandem.Core.Events;
using Tandem.Core.Jobs;

namespace Tandem.Core;

/// <summary>A part of the backend: its tables, endpoints, events and jobs. Built-in modules and a user's own are the same thing.</summary>
/// <remarks>
/// SQL files embedded under <c>Migrations/sqlite</c> and <c>Migrations/postgres</c> of the module's assembly are its migrations, under the same
/// names in both. <see cref="Add"/> runs in every process, <see cref="Map"/> where the module's role runs and in a gateway, which forwards.
/// </remarks>
public abstract class Module
{
    /// <summary>Lower case: the role, the prefix of the tables and, capitalised, the configuration section.</summary>
    public abstract string Name { get; }

    /// <summary>Registers what the module is made of. Whatever its endpoints take as a parameter is registered in every process: a gateway maps them too.</summary>
    public virtual void Add(ModuleBuilder module)
    {
    }

    /// <summary>Adds middleware in front of routing. It sees every request of the process, so it must cost next to nothing where it has nothing to do.</summary>
    public virtual void Use(IApplicationBuilder app)
    {
    }

    /// <summary>Maps its endpoints. They want a bearer token unless they say AllowAnonymous.</summary>
    public virtual void Map(IEndpointRouteBuilder routes)
    {
    }

    /// <summary>The statements that are still missing to hold what the module stores, for tables that are derived from types; empty when none is.</summary>
    internal virtual string MissingSchema(Schema schema) => "";
}

/// <summary>Adds a line to what a starting server prints for the person in front of it.</summary>
public interface IStartNotice
{
    /// <param name="address">Where the server listens, without a slash at the end.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <returns>One line, or null when there is nothing to say.</returns>
    Task<string?> LineAsync(string address, CancellationToken cancellationToken);
}

/// <summary>What a module registers with.</summary>
public sealed class ModuleBuilder
{
    readonly Module _module;
    readonly Parts _parts;

    readonly bool _active;

    internal ModuleBuilder(Module module, IServiceCollection services, Parts parts, bool active, bool isReachable) =>
        (_module, Services, _parts, _active, IsReachable) = (module, services, parts, active, isReachable);

    /// <summary>The container's registrations.</summary>
    public IServiceCollection Services { get; }

    /// <summary>True when the module's role runs in this process: its endpoints are served here.</summary>
    public bool IsServed => _active;

    /// <summary>True when this process answers at the module's endpoints: because they are served here, or because a gateway forwards from here.</summary>
    public bool IsReachable { get; }

    /// <summary>
    /// Reads <typeparamref name="T"/> from the module's section, checks its annotations and registers it as a singleton. An unknown key or a
    /// value out of range stops the program with a message that names it.
    /// </summary>
    /// <returns>The settings in force.</returns>
    public T Options<T>() where T : class, new() => Options<T>(char.ToUpperInvariant(_module.Name[0]) + _module.Name[1..]);

    /// <inheritdoc cref="Options{T}()"/>
    /// <param name="section">A section of another name than the module's.</param>
    public T Options<T>(string section) where T : class, new() => _parts.Settings.Read<T>(Services, section);

    /// <summary>Has <typeparamref name="THandler"/> handle every <typeparamref name="TEvent"/> of the log, from its first event on.</summary>
    /// <param name="name">The consumer's name, under which its position is kept. Default: the module's. Types under one name are handled in one order.</param>
    public void Consume<TEvent, THandler>(string? name = null) where TEvent : class where THandler : class, IConsumer<TEvent>
    {
        // A process without the role still publishes, but leaves the effect to those that have it.
        if (_active)
            _parts.Consumers.Get(name ?? _module.Name).On<TEvent, THandler>();
        else
            _parts.Consumers.RunsElsewhere<TEvent>(name ?? _module.Name);
    }

    /// <summary>Has <typeparamref name="THandler"/> do jobs of type <typeparamref name="TJob"/>.</summary>
    public void Job<TJob, THandler>() where TJob : class where THandler : class, IJobHandler<TJob>
    {
        if (_active)
            _parts.Jobs.Add<TJob, THandler>();
    }

    /// <summary>Adds a command to the program's command line; <paramref name="make"/> is called only when a command line is read.</summary>
    public void Command(Func<ICommandHost, Command> make) => _parts.Commands.Add(make);

    /// <summary>Adds a check to <c>/health/ready</c>: it returns when the named thing works and throws, with a sentence, when it does not.</summary>
    public void Ready(string name, Func<IServiceProvider, CancellationToken, Task> check) => _parts.Checks.Add((name, check));
}

/// <summary>Runs a command's work on the stores that the configuration names, beside a running server or without one.</summary>
public interface ICommandHost
{
    /// <summary>Builds the services, migrates the stores, runs <paramref name="work"/> and closes everything in order.</summary>
    /// <returns>What the work returns: 0 done, 1 failed.</returns>
    Task<int> RunAsync(Func<IServiceProvider, CancellationToken, Task<int>> work, CancellationToken cancellationToken = default);
}

/// <summary>What the modules of a program have registered.</summary>
sealed class Parts(Settings settings)
{
    public Settings Settings => settings;
    public bool SharesDatabase { get; set; }
    public List<string> Observed { get; } = [];
    public ConsumerRegistry Consumers { get; } = new();
    public JobRegistry Jobs { get; } = new();
    public List<Func<ICommandHost, Command>> Commands { get; } = [];
    public List<(string Name, Func<IServiceProvider, CancellationToken, Task> Check)> Checks { get; } = [];
}
