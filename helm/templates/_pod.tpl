{{/* What level "restricted" of the Pod Security Standards asks of a pod. */}}
{{- define "gateway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* And of a container. */}}
{{- define "gateway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "gateway.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "gateway.env" -}}
- name: GATEWAY_CONFIG
  value: /etc/gateway/gateway.yaml
- name: GATEWAY_SECRETS_DIR
  value: /run/gateway/secrets
{{- if .Values.valkey.enabled }}
- name: VALKEY_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.valkey.passwordSecret }}
      key: VALKEY_PASSWORD
- name: GATEWAY_STORE__URL
  value: redis://:$(VALKEY_PASSWORD)@{{ include "gateway.valkey" . }}:6379
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whole folders: what is mounted file by file (subPath) would never change again. */}}
{{- define "gateway.mounts" -}}
- name: config
  mountPath: /etc/gateway
  readOnly: true
- name: secrets
  mountPath: /run/gateway/secrets
  readOnly: true
{{- range $folder, $_ := .Values.files }}
- name: files-{{ $folder }}
  mountPath: /run/gateway/{{ $folder }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "gateway.volumes" -}}
- name: config
  configMap:
    name: {{ include "gateway.fullname" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range .Values.secrets.existing }}
      - secret:
          name: {{ . }}
      {{- end }}
      {{- if .Values.secrets.external.enabled }}
      - secret:
          name: {{ include "gateway.externalSecret" . }}
      {{- end }}
{{- range $folder, $from := .Values.files }}
- name: files-{{ $folder }}
  {{- if $from.secret }}
  secret:
    secretName: {{ $from.secret }}
    defaultMode: 0440
  {{- else }}
  configMap:
    name: {{ $from.configMap }}
  {{- end }}
{{- end }}
{{- end -}}
