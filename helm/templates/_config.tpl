{{/* gateway.yaml: the values as they are, without sections that say nothing. */}}
{{- define "gateway.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.tokens -}}
{{- $_ := unset $config "tokens" -}}
{{- end -}}
{{- if not $config.tracing -}}
{{- $_ := unset $config "tracing" -}}
{{- end -}}
{{- if not $config.listen.tls -}}
{{- $_ := unset $config.listen "tls" -}}
{{- end -}}
{{- if .Values.valkey.enabled -}}
{{- $_ := set $config.store "plaintext" true -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The port of a URL. */}}
{{- define "gateway.port" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* All that does not fit together, so that nobody has to ask for it one by one. */}}
{{- define "gateway.mistakes" -}}
{{- $config := .Values.config -}}
{{- $embedded := eq $config.store.url "embedded" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" (include "gateway.fullname" .)) }}
fullnameOverride: {{ include "gateway.fullname" . }}, made from the release's name, cannot be the name of a Service: lower-case letters, digits and - only, a letter in front
{{- end }}
{{- if not .Values.image.repository }}
image.repository: where the image was pushed to
{{- end }}
{{- if not $config.backends }}
config.backends: at least one account at a vendor
{{- end }}
{{- if not $config.routes }}
config.routes: at least one route
{{- end }}
{{- range $index, $route := $config.routes }}
{{- range $route.backends }}
{{- if not (hasKey $config.backends .) }}
config.routes[{{ $index }}].backends: {{ . }} is not in config.backends
{{- end }}
{{- end }}
{{- end }}
{{- if not (or .Values.secrets.existing .Values.secrets.external.enabled) }}
secrets.existing: the Secret with audit__hmac_key, audit__signing_key and audit__pepper (or secrets.external.enabled)
{{- end }}
{{- if .Values.secrets.external.enabled }}
{{- if not .Values.secrets.external.store }}
secrets.external.store: the name of the SecretStore or ClusterSecretStore
{{- end }}
{{- if not .Values.secrets.external.keys }}
secrets.external.keys: which settings it holds, and where
{{- end }}
{{- end }}
{{- if and $embedded (or .Values.autoscaling.enabled (gt (int .Values.replicas) 1)) }}
config.store.url: embedded is a store for one pod alone: take replicas 1 without autoscaling, or a store for all
{{- end }}
{{- if and .Values.valkey.enabled (ne $config.store.url "from-secret") }}
config.store.url: from-secret, for valkey.enabled
{{- end }}
{{- if and .Values.valkey.enabled (not .Values.valkey.passwordSecret) }}
valkey.passwordSecret: the Secret with VALKEY_PASSWORD
{{- end }}
{{- if .Values.archive.enabled }}
{{- if not .Values.archive.claim }}
archive.claim: the PersistentVolumeClaim that the archive is on
{{- end }}
{{- if $embedded }}
archive.enabled: not with the embedded store, which no other pod reaches: run audit archive in its pod
{{- end }}
{{- end }}
{{- if eq (int $config.listen.port) (int $config.listen.admin_port) }}
config.listen.admin_port: another one than config.listen.port
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
autoscaling.maxReplicas: at least autoscaling.minReplicas
{{- end }}
{{- if lt (int .Values.terminationGracePeriodSeconds) (add (int .Values.preStopSeconds) 18 | int) }}
terminationGracePeriodSeconds: at least preStopSeconds and 18
{{- end }}
{{- if .Values.ingress.enabled }}
{{- if not .Values.ingress.hosts }}
ingress.hosts: at least one name
{{- end }}
{{- if not .Values.ingress.tlsSecret }}
ingress.tlsSecret: the Secret with the certificate; API keys do not travel in the clear
{{- end }}
{{- end }}
{{- if .Values.httpRoute.enabled }}
{{- if not .Values.httpRoute.parentRefs }}
httpRoute.parentRefs: the Gateway
{{- end }}
{{- if not .Values.httpRoute.hostnames }}
httpRoute.hostnames: at least one name
{{- end }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
metrics.podMonitor.enabled: not beside serviceMonitor, or everything is counted twice
{{- end }}
{{- if $policy.enabled }}
{{- if and (or .Values.ingress.enabled .Values.httpRoute.enabled) (not $policy.callers) }}
networkPolicy.callers: the pods that the calls come through
{{- end }}
{{- if not (or $embedded .Values.valkey.enabled $policy.store) }}
networkPolicy.store: where the store is
{{- end }}
{{- if and (hasPrefix "https://" (dig "jwks" "" ($config.tokens | default dict))) (not $policy.others) }}
networkPolicy.others: where the keys of config.tokens.jwks are
{{- end }}
{{- if and $config.tracing (not $policy.others) }}
networkPolicy.others: where the collector of config.tracing is
{{- end }}
{{- if not $policy.vendors }}
{{- range $name, $backend := $config.backends }}
{{- if not $backend.allowed_networks }}
networkPolicy.vendors: where {{ $name }} is (or config.backends.{{ $name }}.allowed_networks)
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
